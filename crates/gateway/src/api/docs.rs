pub(super) async fn page() -> &'static str {
    ""
}

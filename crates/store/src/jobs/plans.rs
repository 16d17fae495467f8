//! How the database finds what it is asked for: the cost of a job must not grow with the number that is kept.

use rusqlite::StatementStatus;

use super::{
    JobStore,
    attempt::OTHER_SUSPECT,
    creating::OF_KEY,
    delivering::{ANY_DUE, DELIVER, NEWEST},
    keys,
    outbox::DUE,
    query::statement_of,
    reading::{EXPIRED, JOB, LIST, LIST_OF_STATUS, LOAD, LOAD_OF_TASK, OPEN, TASKS_OF_JOB},
    webhooks,
};

#[tokio::test]
async fn each_query_goes_by_its_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = JobStore::open(&format!("sqlite:{}", folder.path().join("jobs.db").display())).await.unwrap();
    let cases: [(&str, &[&str]); 17] = [
        (JOB, &["SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (id=?)"]),
        (
            LOAD,
            &[
                "SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (id=?)",
                "SEARCH tasks USING INDEX tasks_by_job (job_id=?) LEFT-JOIN",
            ],
        ),
        (
            LOAD_OF_TASK,
            &[
                "SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (id=?)",
                "SCALAR SUBQUERY 1",
                "SEARCH tasks USING INDEX sqlite_autoindex_tasks_1 (id=?)",
                "SEARCH tasks USING INDEX tasks_by_job (job_id=?) LEFT-JOIN",
            ],
        ),
        (OF_KEY, &["SEARCH jobs USING INDEX jobs_by_idempotency (tenant=? AND idempotency_key=?)"]),
        (LIST, &["SEARCH jobs USING INDEX jobs_by_tenant (tenant=? AND (created_at,id)<(?,?))"]),
        (LIST_OF_STATUS, &["SEARCH jobs USING INDEX jobs_by_status (tenant=? AND status=? AND (created_at,id)<(?,?))"]),
        (TASKS_OF_JOB, &["SEARCH tasks USING INDEX tasks_by_job (job_id=?)"]),
        (OPEN, &["SEARCH jobs USING INDEX jobs_open (touched_at<?)"]),
        (EXPIRED, &["SEARCH jobs USING INDEX jobs_expiring (expires_at>? AND expires_at<?)"]),
        (OTHER_SUSPECT, &["SEARCH tasks USING INDEX tasks_suspected (seen_at>?)"]),
        (DUE, &["SEARCH outbox USING INDEX outbox_due (due_at<?)"]),
        (webhooks::LIST, &["SEARCH webhooks USING INDEX webhooks_by_tenant (tenant=?)"]),
        (keys::USABLE, &["SCAN api_keys USING INDEX api_keys_usable"]),
        (keys::REVOKED, &["SEARCH api_keys USING INDEX api_keys_revoked (revoked_at>?)"]),
        (
            keys::OPEN_OF_TENANT,
            &[
                "CO-ROUTINE of_tenant",
                "SEARCH jobs USING COVERING INDEX jobs_by_status (tenant=? AND status=?)",
                "SCAN of_tenant",
            ],
        ),
        (NEWEST, &["SEARCH webhook_deliveries USING INDEX webhook_deliveries_newest (webhook_id=?)"]),
        (ANY_DUE, &["SEARCH webhook_deliveries USING INDEX webhook_deliveries_due (due_at<?)"]),
    ];
    for (sql, expected) in cases {
        let explained = statement_of(format!("EXPLAIN QUERY PLAN {sql}"));
        // As many as any of them takes.
        let explained = (0..8).fold(explained, |explained, _| explained.bind(0));
        let rows = explained.fetch_all(store.database.reader()).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail").unwrap()).collect();
        assert_eq!(plan, expected, "{sql}");
    }
}

/// SQLite may plan a statement anew for what is bound to it, which takes longer than to run it.
#[tokio::test]
async fn what_every_job_asks_is_planned_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    JobStore::open(&format!("sqlite:{}", path.display())).await.unwrap().close().await;
    let connection = rusqlite::Connection::open(path).unwrap();
    for sql in [JOB, LOAD, LOAD_OF_TASK, OF_KEY, TASKS_OF_JOB, DUE, ANY_DUE, DELIVER] {
        let mut statement = connection.prepare(sql).unwrap();
        for round in 1..=3 {
            for place in 1..=statement.parameter_count() {
                statement.raw_bind_parameter(place, round).unwrap();
            }
            while statement.raw_query().next().unwrap().is_some() {}
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
    }
}

//! Whom a secure connection trusts.

use std::{io, net::IpAddr, path::Path, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use url::Host;

use crate::EgressError;

/// Certificates as the machine trusts them, or Mozilla's where it has none; and those of `ca_file`.
pub(crate) fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, EgressError> {
    let mut roots = RootCertStore::empty();
    // Some of a machine's certificates are always odd; they are left out.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(path) = ca_file {
        trust(&mut roots, path)
            .map_err(|reason| EgressError::Certificates { path: path.display().to_string(), reason })?;
    }
    // The provider is named here, not taken from the process: another library's choice must not decide it.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn trust(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let before = roots.len();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.len() == before { Err("it has no certificate in it".into()) } else { Ok(()) }
}

pub(crate) async fn secure(
    connector: &TlsConnector,
    host: &Host<String>,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let name = match host {
        Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(io::Error::other)?,
        Host::Ipv4(address) => ServerName::from(IpAddr::from(*address)),
        Host::Ipv6(address) => ServerName::from(IpAddr::from(*address)),
    };
    connector.connect(name, stream).await
}

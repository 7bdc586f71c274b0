//! TLS with a certificate authority of one run: the only place that makes certificates. Nothing of it is shipped.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::{ServerConfig, crypto::ring, version};

/// A certificate authority, and a server on 127.0.0.1 that it vouches for.
#[derive(Clone, Debug)]
pub struct TestAuthority {
    certificate: String,
    server: Arc<ServerConfig>,
}

impl TestAuthority {
    /// Makes the authority's and the server's keys and certificates.
    ///
    /// The server speaks TLS 1.3 and HTTP/1.1. It resumes no session and gives out no tickets: each connection is a
    /// whole handshake, as in a new environment.
    ///
    /// # Errors
    /// Where a key or certificate cannot be made.
    pub fn new() -> io::Result<Self> {
        let authority = authority().map_err(io::Error::other)?;
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut server = CertificateParams::new(vec![Ipv4Addr::LOCALHOST.to_string()])
            .map_err(io::Error::other)?;
        server.use_authority_key_identifier_extension = true;
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = server.signed_by(&key, &authority).map_err(io::Error::other)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let mut server = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .map_err(io::Error::other)?;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { certificate: authority.pem(), server: Arc::new(server) })
    }

    /// The authority's certificate in PEM, for a client to trust.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.server).into()
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "local-aws, for one run");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore};

    use super::*;

    #[tokio::test]
    async fn every_connection_is_a_whole_handshake() {
        let authority = TestAuthority::new().unwrap();
        let mut roots = RootCertStore::empty();
        let pem = authority.certificate().as_bytes();
        roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(client));
        let name = ServerName::try_from("127.0.0.1").unwrap();
        for _ in 0..2 {
            let (near, far) = duplex(64 * 1024);
            let (client, server) = tokio::join!(
                connector.connect(name.clone(), near),
                authority.acceptor().accept(far)
            );
            let (mut client, mut server) = (client.unwrap(), server.unwrap());
            assert_eq!(client.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
            // Whatever the server has to say about later sessions comes before its answer.
            server.write_all(b"!").await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'!');
        }
    }
}

//! Entra tokens, from an authority and a server of the kit.

use pgreach_testkit::entra::{
    AppCertificate, Endpoint, EntraGateway, FakeEntra, OSS_RDBMS, RoleKind,
};

use super::*;

/// The authority that is trusted, by a variable of OpenSSL.
const ROOT: &str = "SSL_CERT_FILE";

#[test]
fn tokens_for_applications() {
    let folder = Folder::new();
    let root = folder.path("root.pem");
    child("entra", &[(ROOT, root.to_str().unwrap())]);
}

struct Way {
    entra: FakeEntra,
    gateway: EntraGateway,
}

impl Way {
    fn document(&self, mut identity: Value) -> Value {
        identity["tenantId"] = json!(self.entra.tenant());
        json!({
            "name": "test",
            "database": "postgres",
            "endpoint": { "host": "localhost", "hostaddr": "127.0.0.1", "port": self.gateway.port() },
            "tls": { "roots": { "pem": self.entra.root_pem() } },
            "credentials": {
                "type": "entra", "user": "service", "identity": identity,
                "cloud": { "authority": self.entra.authority_host(), "scope": format!("{OSS_RDBMS}/.default") },
            },
        })
    }

    fn connector(&self, identity: Value) -> PgConnector {
        let document = self.document(identity);
        let spec = ConnectionSpec::from_json(&document.to_string()).unwrap();
        spec.build().unwrap()
    }
}

pub(super) async fn tokens() {
    let entra = FakeEntra::start().await.unwrap();
    fs::write(std::env::var(ROOT).unwrap(), entra.root_pem()).unwrap();
    let gateway = EntraGateway::start(&entra, &DATABASE.server).await.unwrap();
    let way = Way { entra, gateway };
    by_secret(&way).await;
    by_certificate(&way).await;
}

async fn by_secret(way: &Way) {
    let app = way.entra.add_application("service", "a secret");
    let id = app.object_id();
    way.gateway.add_role("service", RoleKind::Service, id);
    let folder = Folder::new();
    let path = folder.write("secret", "a secret\n");
    let identity = |secret: Value| json!({ "type": "clientSecret", "clientId": app.client_id(), "clientSecret": secret });
    for secret in [json!("a secret"), cat(&path)] {
        let connector = way.connector(identity(secret.clone()));
        assert_eq!(user(&connector).await.unwrap(), "service");
        // The operating system's user is no default.
        let mut nobody = way.document(identity(secret));
        nobody["credentials"]["user"].take();
        let spec = ConnectionSpec::from_json(&nobody.to_string()).unwrap();
        let error = user(&spec.build().unwrap()).await.unwrap_err();
        assert_eq!(error.code().name(), "entra-user", "{error}");
    }
    let connector = way.connector(identity(file(&path)));
    let none = folder.path("none");
    fs::rename(&path, &none).unwrap();
    let error = user(&connector).await.unwrap_err();
    let start = "credentials.identity.clientSecret: ";
    assert!(error.to_string().starts_with(start), "{error}");
    fs::rename(&none, &path).unwrap();
    user(&connector).await.unwrap();
    let asked = || way.entra.requests(Endpoint::Token);
    let before = asked();
    // The token is good for another while, whatever becomes of the secret.
    fs::rename(&path, &none).unwrap();
    user(&connector).await.unwrap();
    folder.write("secret", "not yet known");
    user(&connector).await.unwrap();
    user(&connector).await.unwrap();
    assert!(asked() > before, "the new secret was not tried");
    folder.write("secret", "a secret");
    let before = asked();
    user(&connector).await.unwrap();
    // A new one that works takes over.
    way.entra.set_client_secret(&app, "another").unwrap();
    folder.write("secret", "another");
    user(&connector).await.unwrap();
    assert!(asked() > before);
    let logins = way.gateway.logins();
    assert!(logins.iter().all(|login| login.accepted()));
    // A token that was refused is not used again.
    way.gateway.reject_next(1);
    let before = asked();
    user(&connector).await.unwrap();
    assert_eq!(asked(), before + 1);
}

async fn by_certificate(way: &Way) {
    let certificate = AppCertificate::generate("app").unwrap();
    let app = way
        .entra
        .add_certificate_application("service", &certificate);
    let id = app.object_id();
    way.gateway.add_role("service", RoleKind::Service, id);
    let key = PKey::private_key_from_pem(certificate.key_pem().as_bytes()).unwrap();
    let own = X509::from_pem(certificate.cert_pem().as_bytes()).unwrap();
    let mut builder = Pkcs12::builder();
    builder.pkey(&key).cert(&own);
    let der = builder.build2(PHRASE).unwrap().to_der().unwrap();
    let folder = Folder::new();
    let path = folder.write("app.p12", &der);
    let lines = folder.write("app.base64", in_lines(&der));
    for pkcs12 in [
        file(&path),
        file(&lines),
        cat(&lines),
        json!(in_lines(&der)),
    ] {
        let identity = json!({ "type": "clientCertificate", "clientId": app.client_id(),
            "pkcs12": pkcs12, "passphrase": PHRASE });
        let connector = way.connector(identity);
        assert_eq!(user(&connector).await.unwrap(), "service", "{pkcs12}");
    }
}

#[tokio::test]
async fn an_authority_that_is_not_there() {
    let folder = Folder::new();
    let path = folder.write("secret", "a secret");
    let entra = |secret: Value, authority: &str| {
        let mut document = document(json!({}));
        document["credentials"] = json!({
            "type": "entra",
            "identity": { "type": "clientSecret", "tenantId": "t", "clientId": "c", "clientSecret": secret },
            "cloud": { "authority": authority, "scope": "s/.default" },
        });
        document["limits"] = json!({ "connectTimeout": 60 });
        ConnectionSpec::from_json(&document.to_string()).unwrap()
    };
    for secret in [json!("a secret"), file(&path)] {
        let connector = entra(secret, "https://127.0.0.1:1").build().unwrap();
        let error = user(&connector).await.unwrap_err();
        assert_eq!(error.code().name(), "entra-unreachable", "{error}");
    }
}

//! The token endpoint.

use std::fs;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header,
};
use pgreach_testkit::FakeEntra;
use pgreach_testkit::entra::{AppCertificate, Claims, PrincipalKind, TokenIssuer};

use crate::http::{Ask, Reply, SCOPE, ask, get, post, with_assertion, with_secret};
use crate::shows;

const RESOURCE: &str = "https://ossrdbms-aad.database.windows.net";

/// The claims of a token, verified with the keys that the authority publishes.
pub(crate) async fn claims(entra: &FakeEntra, token: &str) -> Claims {
    let url = format!(
        "{}/{}/discovery/v2.0/keys",
        entra.authority_host(),
        entra.tenant()
    );
    let keys: JwkSet = serde_json::from_value(get(entra, url, &[]).await.body).unwrap();
    let id = decode_header(token).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(keys.find(&id).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_aud = false;
    decode(token, &key, &validation).unwrap().claims
}

/// Asserts a refusal in the authority's shape.
#[track_caller]
fn assert_refused(reply: &Reply, status: u16, error: &str, number: u32) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(reply.text("error"), error);
    assert_eq!(reply.body["error_codes"], serde_json::json!([number]));
    let words = reply.text("error_description");
    assert!(words.starts_with(&format!("AADSTS{number}: ")), "{words}");
    // azure_identity borrows the text, which it cannot where something in it is escaped.
    assert!(!reply.text.contains('\\'), "{}", reply.text);
    for name in ["timestamp", "trace_id", "correlation_id", "error_uri"] {
        assert!(words.contains(reply.text(name)) || name == "error_uri");
    }
}

#[tokio::test]
async fn a_secret_gets_a_token_with_azures_claims() {
    let entra = FakeEntra::start().await.unwrap();
    let app = entra.add_application("orders", "s3cret & more");
    let reply = with_secret(&entra, &app, "s3cret & more").await.unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.text("token_type"), "Bearer");
    assert_eq!(reply.body["expires_in"], 3600);
    assert_eq!(reply.body["ext_expires_in"], 3600);

    let claims = claims(&entra, reply.token()).await;
    let issuer = entra.issuer();
    for (name, value) in [
        ("aud", RESOURCE),
        ("iss", issuer.as_str()),
        ("tid", entra.tenant()),
        ("oid", app.object_id()),
        ("sub", app.object_id()),
        ("appid", app.client_id()),
        ("idtyp", "app"),
        ("ver", "1.0"),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    let time = |name: &str| claims[name].as_i64().unwrap();
    assert_eq!(time("exp") - time("iat"), 3600);
    assert_eq!(time("nbf"), time("iat"));
    assert_eq!(app.kind(), PrincipalKind::Application);
    assert!(!claims.contains_key("upn") && !claims.contains_key("groups"));
}

#[tokio::test]
async fn each_refusal_has_its_number() {
    let entra = FakeEntra::builder()
        .with_tenant("tenant-1")
        .start()
        .await
        .unwrap();
    let app = entra.add_application("orders", "right");
    let id = app.client_id();
    let grant = ("grant_type", "client_credentials");
    let (client, secret, scope) = (
        ("client_id", id),
        ("client_secret", "right"),
        ("scope", SCOPE),
    );
    let wrong = ("client_secret", "wrong");
    let cases: [(&[_], _, _, _); 11] = [
        (
            &[grant, client, wrong, scope],
            401,
            "invalid_client",
            7_000_215,
        ),
        (&[grant, client, scope], 401, "invalid_client", 7_000_218),
        (
            &[grant, ("client_id", "nobody"), secret, scope],
            400,
            "unauthorized_client",
            700_016,
        ),
        (&[grant, client, secret], 400, "invalid_request", 900_144),
        (&[grant, secret, scope], 400, "invalid_request", 900_144),
        (&[client, secret, scope], 400, "invalid_request", 900_144),
        (
            &[grant, client, secret, ("scope", RESOURCE)],
            400,
            "invalid_scope",
            70_011,
        ),
        (
            &[grant, client, secret, ("scope", "/.default")],
            400,
            "invalid_scope",
            70_011,
        ),
        (
            &[grant, client, secret, ("scope", "a/.default b/.default")],
            400,
            "invalid_scope",
            70_011,
        ),
        (
            &[("grant_type", "password"), client, secret, scope],
            400,
            "unsupported_grant_type",
            70_003,
        ),
        (
            &[grant, client, ("client_assertion", "x"), scope],
            401,
            "invalid_client",
            50_027,
        ),
    ];
    for (pairs, status, error, number) in cases {
        let reply = post(&entra, pairs).await.unwrap();
        assert_refused(&reply, status, error, number);
    }
    let elsewhere = Ask {
        method: "POST",
        url: format!("{}/elsewhere/oauth2/v2.0/token", entra.authority_host()),
        headers: Vec::new(),
        body: String::new(),
    };
    let reply = ask(&entra, elsewhere).await.unwrap();
    assert_refused(&reply, 400, "invalid_request", 90_002);
    assert!(reply.text("error_description").contains("'elsewhere'"));

    entra.set_client_secret(&app, "new").unwrap();
    assert_refused(
        &with_secret(&entra, &app, "right").await.unwrap(),
        401,
        "invalid_client",
        7_000_215,
    );
    assert_eq!(with_secret(&entra, &app, "new").await.unwrap().status, 200);
    entra.expire_client_secret(&app).unwrap();
    for (secret, number) in [("new", 7_000_222), ("old", 7_000_215)] {
        assert_refused(
            &with_secret(&entra, &app, secret).await.unwrap(),
            401,
            "invalid_client",
            number,
        );
    }
    entra.remove(&app);
    assert_refused(
        &with_secret(&entra, &app, "new").await.unwrap(),
        400,
        "unauthorized_client",
        700_016,
    );
    assert!(entra.set_client_secret(&app, "x").is_err());
    assert!(entra.expire_client_secret(&app).is_err());
}

/// The claims of an assertion as a client makes it.
fn assertion(entra: &FakeEntra, client_id: &str) -> Claims {
    let mut claims = Claims::new();
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    claims.insert("aud".into(), entra.token_endpoint().into());
    claims.insert("iss".into(), client_id.into());
    claims.insert("sub".into(), client_id.into());
    claims.insert("nbf".into(), now.into());
    claims.insert("exp".into(), (now + 300).into());
    claims
}

#[tokio::test]
async fn a_certificates_assertion_is_verified() {
    let entra = FakeEntra::start().await.unwrap();
    let certificate = AppCertificate::generate("orders").unwrap();
    let other = AppCertificate::generate("other").unwrap();
    let app = entra.add_certificate_application("orders", &certificate);
    let good = assertion(&entra, app.client_id());

    let signed = certificate.assertion(&good).unwrap();
    let reply = with_assertion(&entra, &app, &signed).await;
    assert_eq!(claims(&entra, reply.token()).await["oid"], app.object_id());

    // azure_identity encodes the thumbprint with the other alphabet.
    let mut header = Header::new(Algorithm::RS256);
    header.x5t = Some(data_encoding::BASE64.encode(&certificate.thumbprint()));
    let key = EncodingKey::from_rsa_pem(certificate.key_pem().as_bytes()).unwrap();
    let again = jsonwebtoken::encode(&header, &good, &key).unwrap();
    assert_eq!(with_assertion(&entra, &app, &again).await.status, 200);

    let reply = with_assertion(&entra, &app, &other.assertion(&good).unwrap()).await;
    assert_refused(&reply, 401, "invalid_client", 700_027);
    let thumbprint = data_encoding::HEXUPPER.encode(&other.thumbprint());
    assert!(reply.text("error_description").contains(&thumbprint));

    // The right header over the wrong key's signature.
    let key = EncodingKey::from_rsa_pem(other.key_pem().as_bytes()).unwrap();
    let forged = jsonwebtoken::encode(&header, &good, &key).unwrap();
    let reply = with_assertion(&entra, &app, &forged).await;
    assert_refused(&reply, 401, "invalid_client", 700_027);

    assert!(
        reply
            .text("error_description")
            .contains("signature is invalid")
    );

    // The right signature under the wrong header.
    header.x5t = Some(data_encoding::BASE64.encode(&other.thumbprint()));
    let key = EncodingKey::from_rsa_pem(certificate.key_pem().as_bytes()).unwrap();
    let unnamed = jsonwebtoken::encode(&header, &good, &key).unwrap();
    let reply = with_assertion(&entra, &app, &unnamed).await;
    assert_refused(&reply, 401, "invalid_client", 700_027);
    assert!(reply.text("error_description").contains("was not found"));

    for (name, value, number) in [
        ("aud", "https://elsewhere/".into(), 700_023),
        ("iss", "somebody".into(), 700_021),
        ("sub", "somebody".into(), 700_021),
        ("exp", 1.into(), 700_024),
        ("nbf", 99_999_999_999_u64.into(), 700_024),
    ] {
        let mut bad = good.clone();
        bad.insert(name.into(), value);
        let signed = certificate.assertion(&bad).unwrap();
        let reply = with_assertion(&entra, &app, &signed).await;
        assert_refused(&reply, 401, "invalid_client", number);
    }
    let reply = with_assertion(&entra, &app, "no token").await;
    assert_refused(&reply, 401, "invalid_client", 50_027);
    let secret = entra.add_application("other", "secret");
    let reply = with_assertion(&entra, &secret, &signed).await;
    assert_refused(&reply, 401, "invalid_client", 700_027);
}

#[tokio::test]
async fn the_certificate_is_one_that_openssl_reads() {
    let certificate = AppCertificate::generate("orders").unwrap();
    let read = openssl::x509::X509::from_pem(certificate.cert_pem().as_bytes()).unwrap();
    let key = openssl::pkey::PKey::private_key_from_pem(certificate.key_pem().as_bytes()).unwrap();
    assert!(read.public_key().unwrap().public_eq(&key));
    assert_eq!(read.to_der().unwrap(), certificate.der());
    let digest = read.digest(openssl::hash::MessageDigest::sha1()).unwrap();
    assert_eq!(&*digest, certificate.thumbprint());
}

#[tokio::test]
async fn a_federated_assertion_is_verified() {
    let entra = FakeEntra::start().await.unwrap();
    let cluster = TokenIssuer::generate("https://cluster.example/").unwrap();
    let subject = "system:serviceaccount:shop:orders";
    let app = entra.add_federated_application("orders", &cluster, subject);

    let environment = entra.workload_environment(&app).unwrap();
    let names: Vec<&str> = environment.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "AZURE_CLIENT_ID",
            "AZURE_TENANT_ID",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_AUTHORITY_HOST"
        ]
    );
    let written = fs::read_to_string(&environment[2].1).unwrap();
    let reply = with_assertion(&entra, &app, &written).await;
    assert_eq!(
        claims(&entra, reply.token()).await["appid"],
        app.client_id()
    );
    let file = cluster.write(subject, "later").unwrap();
    assert_eq!(file.display().to_string(), environment[2].1);
    assert_eq!(fs::read_to_string(&file).unwrap(), "later");

    for (name, value) in [
        ("sub", "system:serviceaccount:shop:other"),
        ("iss", "https://other.example/"),
        ("aud", "https://kubernetes.default.svc"),
    ] {
        let change = |claims: &mut Claims| drop(claims.insert(name.into(), value.into()));
        let token = cluster.token_with(subject, change).unwrap();
        let reply = with_assertion(&entra, &app, &token).await;
        assert_refused(&reply, 401, "invalid_client", 70_021);
        assert!(reply.text("error_description").contains(value), "{reply:?}");
    }
    let expired = |claims: &mut Claims| drop(claims.insert("exp".into(), 1.into()));
    let token = cluster.token_with(subject, expired).unwrap();
    let reply = with_assertion(&entra, &app, &token).await;
    assert_refused(&reply, 401, "invalid_client", 700_024);
    let impostor = TokenIssuer::generate(cluster.url()).unwrap();
    let token = impostor.token(subject).unwrap();
    let reply = with_assertion(&entra, &app, &token).await;
    assert_refused(&reply, 401, "invalid_client", 50_013);

    let other = entra.add_application("other", "secret");
    assert!(entra.workload_environment(&other).is_err());
    assert!(!shows(&cluster, &[&token]));
}

#[tokio::test]
async fn users_carry_their_groups() {
    let entra = FakeEntra::start().await.unwrap();
    let group = entra.new_object_id();
    let ann = entra.add_user("ann@example.com", [&group]);
    let claims = claims(&entra, &entra.token_for(&ann).unwrap()).await;
    assert_eq!(claims["upn"], "ann@example.com");
    assert_eq!(claims["unique_name"], "ann@example.com");
    assert_eq!(claims["groups"], serde_json::json!([group]));
    assert_eq!(claims["idtyp"], "user");
    entra.remove(&ann);
    let again = entra.add_user("ann@example.com", [&group]);
    assert_ne!(again.object_id(), ann.object_id());
}

#[tokio::test]
async fn nothing_printed_shows_a_secret() {
    let entra = FakeEntra::start().await.unwrap();
    let certificate = AppCertificate::generate("orders").unwrap();
    let app = entra.add_application("orders", "the-secret");
    let header = entra.app_service_environment()[1].1.clone();
    let access = entra.pipelines_environment()[1].1.clone();
    let secrets = ["the-secret", "PRIVATE KEY", &header, &access];
    assert!(!shows(&entra, &secrets));
    assert!(!shows(&app, &secrets));
    assert!(!shows(&certificate, &secrets));
}

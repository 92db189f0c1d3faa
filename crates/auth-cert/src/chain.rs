//! The order of a chain.

use pgreach_core::Error;

use crate::codes;
use crate::problem::error;
use crate::subject::Subject;

/// Refuses a chain that is not in order: `own` is the place of the client's own certificate.
///
/// The first certificate must be the client's, and each further one the issuer of the one before, as
/// far as the issuers are there. What follows a self-signed root, or a chain whose last issuer is not
/// there, is left to the server, which takes what it needs: OpenSSL's ignores the rest. But where
/// certificates follow and not even the issuer of the client's own is among them, something is
/// missing.
pub(crate) fn check(chain: &[Subject], own: usize) -> Result<(), Error> {
    let Some(client) = chain.get(own) else {
        return Ok(());
    };
    let order = order(chain, own);
    if own != 0 {
        let message = format!(
            "the client's own certificate ({}) is number {} in the chain, and must be the first",
            client.name,
            own + 1
        );
        return Err(error(&codes::CERT_CHAIN, message).with_hint(needed(chain, &order)));
    }
    if let Some(place) = (0..order.len()).find(|place| order.get(*place) != Some(place)) {
        let before = chain.get(place.saturating_sub(1)).unwrap_or(client);
        let message = format!(
            "number {} in the chain is not the issuer of {}, which comes later",
            place + 1,
            before.name
        );
        return Err(error(&codes::CERT_CHAIN, message).with_hint(needed(chain, &order)));
    }
    if order.len() == 1 && chain.len() > 1 && !client.issued(client) {
        let issuer = &client.issuer;
        let message = format!(
            "the chain has a gap: its further certificates are not of {issuer}, the issuer of {}",
            client.name
        );
        let hint = format!(
            "put the certificate of {issuer} second, or remove those that follow the first"
        );
        return Err(error(&codes::CERT_CHAIN, message).with_hint(hint));
    }
    Ok(())
}

/// The places of the client's own certificate, of its issuer, of that one's issuer and so on.
pub(crate) fn order(chain: &[Subject], own: usize) -> Vec<usize> {
    let mut order = vec![own];
    let mut last = own;
    while let Some(below) = chain.get(last) {
        // A root issued itself.
        if below.issued(below) {
            break;
        }
        let next =
            (0..chain.len()).filter(|place| chain.get(*place).is_some_and(|c| c.issued(below)));
        // Of two issuers with one name, the one that stands where it should.
        let next = next.filter(|place| !order.contains(place));
        let Some(next) = next.min_by_key(|place| (*place != order.len(), *place)) else {
            break;
        };
        order.push(next);
        last = next;
    }
    order
}

fn needed(chain: &[Subject], order: &[usize]) -> String {
    let names: Vec<&str> = order
        .iter()
        .filter_map(|place| Some(chain.get(*place)?.name.as_str()))
        .collect();
    format!("put them in this order: {}", names.join("; "))
}

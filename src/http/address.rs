//! The client's address. Any client can write an `X-Forwarded-For` header, so only the part that trusted proxies have
//! written is used.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use super::problem::Problem;

/// The address of the other end of the TCP connection. The accept loop adds it to the request's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddr(pub(crate) SocketAddr);

/// The networks of `PARLOUR_TRUSTED_PROXIES`. Part of the router's state; shared, as it is cloned for every request.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Trusts the `X-Forwarded-For` of peers in these networks.
    pub(crate) fn new(networks: impl Into<Arc<[IpNet]>>) -> Self {
        Self(networks.into())
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Reads the hops from the right, from the peer towards the client, while the current hop is trusted. The client is
    /// the address that the last trusted hop has recorded. A hop that cannot be parsed ends the walk before it.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut known = peer.to_canonical();
        // Several headers are one list (RFC 9110 §5.3).
        let lines = headers.get_all("x-forwarded-for").iter().map(|line| HeaderValue::to_str(line).unwrap_or(""));
        for hop in lines.rev().flat_map(|line| line.rsplit(',')) {
            if !self.contains(known) {
                break;
            }
            let Some(hop) = address_of(hop.trim()) else { break };
            known = hop;
        }
        known
    }
}

/// The address in a hop. Some proxies add the port.
fn address_of(hop: &str) -> Option<IpAddr> {
    let address = hop.parse().ok().or_else(|| hop.parse().ok().map(|socket: SocketAddr| socket.ip()));
    address.as_ref().map(IpAddr::to_canonical)
}

/// The client's address; an IPv4-mapped IPv6 address becomes IPv4. It is fit for rate limits, not for authentication.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddr(pub(crate) IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for ClientAddr
where
    TrustedProxies: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<PeerAddr>();
        let PeerAddr(peer) = *peer.ok_or_else(|| Problem::internal("the request has no PeerAddr"))?;
        Ok(Self(TrustedProxies::from_ref(state).client(peer.ip(), &parts.headers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).expect("a value"));
        }
        TrustedProxies::new(trusted).client(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(client("::ffff:192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn the_walk_ends_at_the_first_that_no_proxy_of_ours_vouches_for() {
        assert_eq!(client("10.0.0.1", &["203.0.113.9, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["203.0.113.9, 198.51.100.7, 10.1.1.1"]), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["203.0.113.9, 198.51.100.7", "10.1.1.1,fd00::1"]), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(client("::ffff:10.0.0.1", &["::ffff:198.51.100.7"]), "198.51.100.7");
    }

    #[test]
    fn ports_are_read_over_and_what_is_malformed_ends_the_walk() {
        assert_eq!(client("10.0.0.1", &["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", &["198.51.100.7, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(client("10.0.0.1", &[""]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }
}

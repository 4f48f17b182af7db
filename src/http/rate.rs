//! Rate limits: per session for sends and for all calls, per address for new sessions. A rate `20/s` permits 20 at once,
//! then one every 50 ms (GCRA, a leaky bucket in one atomic per key). Each instance counts only its own requests: the
//! limits protect an instance, they are no quota.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::chat::ChatError;
use crate::config::Rate;
use crate::model::SessionId;

/// The three limits. A limit that is `None` permits everything.
pub(crate) struct RateLimits {
    sends: Option<Limit<SessionId>>,
    calls: Option<Limit<SessionId>>,
    sessions: Option<Limit<IpAddr>>,
}

impl RateLimits {
    /// The limits of `PARLOUR_RATE_SENDS`, `PARLOUR_RATE_CALLS` and `PARLOUR_RATE_SESSIONS`.
    pub(crate) fn new(sends: Option<&Rate>, calls: Option<&Rate>, sessions: Option<&Rate>) -> Self {
        Self { sends: sends.map(Limit::new), calls: calls.map(Limit::new), sessions: sessions.map(Limit::new) }
    }

    /// Counts a send of this session.
    ///
    /// # Errors
    /// [`ChatError::RateLimited`], with the time until the next one is permitted.
    pub(crate) fn check_send(&self, session: SessionId) -> Result<(), ChatError> {
        self.sends.as_ref().map_or(Ok(()), |limit| limit.check(&session))
    }

    /// Counts a call of this session, of any kind.
    ///
    /// # Errors
    /// [`ChatError::RateLimited`], with the time until the next one is permitted.
    pub(crate) fn check_call(&self, session: SessionId) -> Result<(), ChatError> {
        self.calls.as_ref().map_or(Ok(()), |limit| limit.check(&session))
    }

    /// Counts a new session from this address.
    ///
    /// # Errors
    /// [`ChatError::RateLimited`], with the time until the next one is permitted.
    pub(crate) fn check_session(&self, address: IpAddr) -> Result<(), ChatError> {
        self.sessions.as_ref().map_or(Ok(()), |limit| limit.check(&network(address)))
    }

    /// Forgets the keys whose whole burst is available again: they need no entry. A task calls this every minute, so
    /// memory holds only the keys of the last minute and the time that a burst takes to refill.
    pub(crate) fn prune(&self) {
        for limit in [&self.sends, &self.calls].into_iter().flatten() {
            limit.prune();
        }
        self.sessions.iter().for_each(Limit::prune);
    }
}

struct Limit<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    clock: DefaultClock,
}

impl<K: Hash + Eq + Clone> Limit<K> {
    fn new(rate: &Rate) -> Self {
        // At least a nanosecond, as governor has no faster rate.
        let each = (rate.per / rate.count.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(each).unwrap_or(Quota::per_second(rate.count)).allow_burst(rate.count);
        Self { limiter: RateLimiter::keyed(quota), clock: DefaultClock::default() }
    }

    fn check(&self, key: &K) -> Result<(), ChatError> {
        let early = self.limiter.check_key(key);
        early.map_err(|early| ChatError::RateLimited { retry_after: early.wait_time_from(self.clock.now()) })
    }

    fn prune(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

/// The key that an address counts under. An IPv6 subscriber has at least a /64 (RFC 6177 §2), so a limit per single
/// address would limit nothing.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Instant;

    use uuid::Uuid;

    use super::*;

    fn rate(count: u32, per: Duration) -> Rate {
        Rate { count: NonZeroU32::new(count).expect("not zero"), per }
    }

    fn session(number: u128) -> SessionId {
        SessionId(Uuid::from_u128(number))
    }

    #[test]
    fn a_burst_passes_and_the_next_is_told_how_long_to_wait() {
        let hourly = rate(3, Duration::from_secs(3600));
        let limits = RateLimits::new(Some(&hourly), None, None);
        for _ in 0..3 {
            limits.check_send(session(1)).expect("within the burst");
        }
        let refused = limits.check_send(session(1)).expect_err("the burst is used up");
        let ChatError::RateLimited { retry_after } = refused else { panic!("another error: {refused}") };
        assert!(retry_after <= Duration::from_secs(1200) && retry_after > Duration::from_secs(1190), "{retry_after:?}");
        limits.check_send(session(2)).expect("another session has its own burst");
        for _ in 0..1000 {
            limits.check_call(session(1)).expect("no limit on calls");
        }
    }

    #[test]
    fn an_ipv6_network_is_one_caller_and_a_mapped_address_is_ipv4() {
        let limits = RateLimits::new(None, None, Some(&rate(1, Duration::from_secs(3600))));
        let check = |address: &str| limits.check_session(address.parse().expect("an address")).is_ok();
        assert!(check("2001:db8:1:2::1"));
        assert!(!check("2001:db8:1:2:ffff::9"));
        assert!(check("2001:db8:1:3::1"));
        assert!(check("::ffff:192.0.2.1"));
        assert!(!check("192.0.2.1"));
        assert!(check("192.0.2.2"));
    }

    #[test]
    fn whoever_has_waited_is_taken_again_and_forgotten() {
        let limits = RateLimits::new(None, None, Some(&rate(1, Duration::from_millis(20))));
        let address = IpAddr::from([192, 0, 2, 1]);
        let deadline = Instant::now() + Duration::from_secs(5);
        limits.check_session(address).expect("the first");
        while limits.check_session(address).is_err() {
            assert!(Instant::now() < deadline, "never taken again");
            std::thread::yield_now();
        }
        let limiter = &limits.sessions.as_ref().expect("a limit").limiter;
        while !limiter.is_empty() {
            assert!(Instant::now() < deadline, "never forgotten");
            limits.prune();
        }
    }

    #[test]
    fn a_rate_beyond_the_clock_is_no_division_by_zero() {
        let limits = RateLimits::new(Some(&rate(u32::MAX, Duration::from_secs(1))), None, None);
        limits.check_send(session(1)).expect("taken");
    }
}

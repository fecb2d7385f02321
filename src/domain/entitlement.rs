//! Which subscription entitles an account to delete contacts by workflow.

use super::time::Time;

/// A subscription's level; only the two highest include workflows with the Delete contact action.
/// Source: the vendor's article "Delete CRM records".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    Free,
    Starter,
    Professional,
    Enterprise,
}

impl Tier {
    /// As it stands in an import record. `None`: no such tier, which entitles to nothing.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "free" => Self::Free,
            "starter" => Self::Starter,
            "professional" => Self::Professional,
            "enterprise" => Self::Enterprise,
            _ => return None,
        })
    }

    /// As people say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "Free",
            Self::Starter => "Starter",
            Self::Professional => "Professional",
            Self::Enterprise => "Enterprise",
        }
    }
}

/// A subscription of any product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub tier: Tier,
    /// From this instant on.
    pub starts_at: Time,
    /// Up to, and without, this instant; `None`: open-ended.
    pub ends_at: Option<Time>,
}

/// Does one of these subscriptions allow deletes by workflow at `now`?
pub fn may_delete_by_workflow(subscriptions: &[Subscription], now: Time) -> bool {
    subscriptions.iter().any(|subscription| {
        matches!(subscription.tier, Tier::Professional | Tier::Enterprise)
            && subscription.starts_at <= now
            && subscription.ends_at.is_none_or(|ends_at| now < ends_at)
    })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::time::parse_time;
    use super::*;

    #[test]
    fn professional_and_enterprise_within_their_time_and_nothing_else() {
        let now = parse_time("2026-11-21T10:00:00Z").unwrap();
        let micro = TimeDelta::microseconds(1);
        let case = |tier, starts_at, ends_at| {
            may_delete_by_workflow(&[Subscription { tier, starts_at, ends_at }], now)
        };
        assert!(case(Tier::Professional, now, None));
        assert!(case(Tier::Enterprise, now - micro, Some(now + micro)));
        assert!(!case(Tier::Professional, now + micro, None));
        assert!(!case(Tier::Professional, now - micro, Some(now)));
        assert!(!case(Tier::Starter, now - micro, None));
        assert!(!case(Tier::Free, now - micro, None));
        assert!(!may_delete_by_workflow(&[], now));
    }
}

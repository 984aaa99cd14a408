//! How many bytes may be written by when, as arithmetic.

use std::time::Duration;

/// Unspent time that is kept, as a part of a second.
const CREDIT_PART: u64 = 8;
/// What goes to those who can wait while others cannot, as a part of the rate.
const PATIENT_PART: u64 = 8;

const NANOS_PER_SEC: u128 = 1_000_000_000;

/// Who pays first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// What others wait for.
    Urgent,
    /// What can wait.
    Patient,
}

/// Bytes that were spent, and those that time has paid for: a rate, and two classes that share it.
///
/// Bytes are owed when they are spent, and a spender waits until its own are paid. What time earns
/// goes to the urgent class first, but for an eighth while both owe; what nobody owes is credit, of an
/// eighth of a second at most. So at any time no more is paid than what was earned, plus that.
#[derive(Debug)]
pub(crate) struct ByteBudget {
    /// Bytes per second. 0: everything is paid.
    rate: u64,
    /// Until when it was paid.
    at: Duration,
    /// Earned beyond whole bytes, in billionths.
    rest: u128,
    credit: u64,
    urgent: Account,
    patient: Account,
}

#[derive(Debug, Default)]
struct Account {
    spent: u64,
    paid: u64,
}

/// A place in a class: everything spent up to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spending {
    class: Class,
    spent: u64,
}

impl ByteBudget {
    pub(crate) fn new(rate: u64, now: Duration) -> Self {
        let (urgent, patient) = Default::default();
        Self { rate, at: now, rest: 0, credit: rate / CREDIT_PART, urgent, patient }
    }

    /// Another rate from `now` on; what was earned stays earned.
    pub(crate) fn set_rate(&mut self, rate: u64, now: Duration) {
        self.earn(now);
        // A byte's billionths are worth the same at any rate.
        self.rate = rate;
        self.credit = self.credit.min(rate / CREDIT_PART);
    }

    /// Spends `bytes` at `now`.
    pub(crate) fn spend(&mut self, class: Class, bytes: u64, now: Duration) -> Spending {
        self.earn(now);
        let from_credit = bytes.min(self.credit);
        self.credit -= from_credit;
        let account = self.account(class);
        account.spent = account.spent.saturating_add(bytes);
        account.paid = account.paid.saturating_add(from_credit);
        Spending { class, spent: account.spent }
    }

    /// When `spending` is paid at the earliest, if nobody else spends; `None` if it is.
    pub(crate) fn due(&mut self, spending: Spending, now: Duration) -> Option<Duration> {
        self.earn(now);
        let paid = self.account(spending.class).paid;
        let owed = spending.spent.checked_sub(paid).filter(|owed| *owed > 0 && self.rate > 0)?;
        let nanos = (u128::from(owed) * NANOS_PER_SEC - self.rest).div_ceil(self.rate.into());
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        Some(now.saturating_add(Duration::from_nanos(nanos)))
    }

    fn account(&mut self, class: Class) -> &mut Account {
        match class {
            Class::Urgent => &mut self.urgent,
            Class::Patient => &mut self.patient,
        }
    }

    /// Pays with what was earned until `now`.
    fn earn(&mut self, now: Duration) {
        let nanos = now.saturating_sub(self.at).as_nanos();
        self.at = self.at.max(now);
        if self.rate == 0 {
            (self.urgent.paid, self.patient.paid) = (self.urgent.spent, self.patient.spent);
            (self.credit, self.rest) = (0, 0);
            return;
        }
        let earned = nanos.saturating_mul(self.rate.into()).saturating_add(self.rest);
        self.rest = earned % NANOS_PER_SEC;
        let mut earned = u64::try_from(earned / NANOS_PER_SEC).unwrap_or(u64::MAX);
        if self.urgent.owed() > 0 {
            let share = self.patient.pay(earned / PATIENT_PART);
            earned -= share;
        }
        earned -= self.urgent.pay(earned);
        earned -= self.patient.pay(earned);
        self.credit = self.credit.saturating_add(earned).min(self.rate / CREDIT_PART);
    }
}

impl Account {
    fn owed(&self) -> u64 {
        self.spent - self.paid
    }

    /// Pays what is owed with `bytes`, and tells how much it took.
    fn pay(&mut self, bytes: u64) -> u64 {
        let paid = bytes.min(self.owed());
        self.paid += paid;
        paid
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_spender_waits_for_its_own_bytes() {
        let mut budget = ByteBudget::new(800, SECOND);
        // An eighth of a second is to its credit.
        let first = budget.spend(Class::Patient, 100, SECOND);
        assert_eq!(budget.due(first, SECOND), None);
        let second = budget.spend(Class::Patient, 400, SECOND);
        let third = budget.spend(Class::Patient, 400, SECOND);
        assert_eq!(budget.due(second, SECOND), Some(SECOND + SECOND / 2));
        assert_eq!(budget.due(third, SECOND), Some(SECOND * 2));
        assert_eq!(budget.due(second, SECOND + SECOND / 2), None);
        assert_eq!(budget.due(third, SECOND + SECOND / 2), Some(SECOND * 2));
        assert_eq!(budget.due(third, SECOND * 2), None);
    }

    #[test]
    fn the_urgent_do_not_wait_for_what_can_wait() {
        let mut budget = ByteBudget::new(800, Duration::ZERO);
        let patient = budget.spend(Class::Patient, 100 + 8_000, Duration::ZERO);
        let urgent = budget.spend(Class::Urgent, 700, Duration::ZERO);
        assert_eq!(budget.due(urgent, SECOND), None, "seven eighths of a second were enough");
        // The eighth that went to the others is theirs.
        assert_eq!(budget.due(patient, SECOND), Some(SECOND + SECOND * 7_900 / 800));
    }

    #[test]
    fn another_rate_counts_from_now_on() {
        let mut budget = ByteBudget::new(1_000, Duration::ZERO);
        let spending = budget.spend(Class::Urgent, 2_125, Duration::ZERO);
        assert_eq!(budget.due(spending, SECOND), Some(SECOND * 2));
        budget.set_rate(10_000, SECOND);
        assert_eq!(budget.due(spending, SECOND), Some(SECOND + SECOND / 10));
        budget.set_rate(0, SECOND);
        assert_eq!(budget.due(spending, SECOND), None);
        // Without a limit no credit grows.
        budget.set_rate(1_000, SECOND * 9);
        let spending = budget.spend(Class::Urgent, 1_000, SECOND * 9);
        assert_eq!(budget.due(spending, SECOND * 9), Some(SECOND * 10));
    }

    proptest! {
        /// Whoever spends when, and in whatever steps time goes: no more is paid than was earned.
        #[test]
        fn no_more_is_paid_than_was_earned(
            rate in 1u64..5_000_000_000,
            steps in vec((0u64..3_000_000, 0u64..2_000_000, any::<bool>()), 1..60),
        ) {
            let mut budget = ByteBudget::new(rate, Duration::ZERO);
            let mut now = Duration::ZERO;
            let mut last = None;
            for (micros, bytes, is_urgent) in steps {
                now += Duration::from_micros(micros);
                let class = if is_urgent { Class::Urgent } else { Class::Patient };
                last = Some(budget.spend(class, bytes, now));
                let earned = u128::from(rate) * now.as_nanos() / NANOS_PER_SEC;
                let most = earned + u128::from(rate / CREDIT_PART);
                let paid = u128::from(budget.urgent.paid) + u128::from(budget.patient.paid);
                prop_assert!(paid <= most, "{paid} of {most}");
                prop_assert!(budget.urgent.paid <= budget.urgent.spent);
                prop_assert!(budget.patient.paid <= budget.patient.spent);
            }
            // The last is paid after a few looks, each at the time that the one before gave.
            if let Some(last) = last {
                let mut looks = 0;
                while let Some(due) = budget.due(last, now) {
                    prop_assert!(due > now);
                    now = due;
                    looks += 1;
                }
                prop_assert!(looks <= 40, "{looks}");
                let earned = u128::from(rate) * now.as_nanos() / NANOS_PER_SEC;
                let spent = u128::from(budget.urgent.spent) + u128::from(budget.patient.spent);
                // Nothing was lost but credit that nobody took.
                prop_assert!(spent >= u128::from(budget.urgent.paid + budget.patient.paid));
                prop_assert!(earned + u128::from(rate / CREDIT_PART) >= u128::from(budget.urgent.paid + budget.patient.paid));
            }
        }
    }
}

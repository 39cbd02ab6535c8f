//! The claim on a batch: its caller or the writer has it.

use std::sync::atomic::{AtomicU8, Ordering};

/// States whether a caller may still withdraw a batch.
#[derive(Debug, Default)]
pub(crate) struct Claim(AtomicU8);

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;
const SENT: u8 = 3;
const IN_DOUBT: u8 = 4;

impl Claim {
    /// The writer takes the batch, unless it has it already. Returns false if the batch was
    /// withdrawn.
    pub(crate) fn take(&self) -> bool {
        let taken = self
            .0
            .compare_exchange(WAITING, TAKEN, Ordering::AcqRel, Ordering::Acquire);
        match taken {
            Ok(_) | Err(TAKEN | IN_DOUBT) => true,
            // The batch was sent and certainly not applied, so the writer has it again.
            Err(SENT) => {
                self.0.store(TAKEN, Ordering::Release);
                true
            }
            Err(_) => false,
        }
    }

    /// The COMMIT is being sent: the outcome is unknown until the database answers.
    pub(crate) fn send(&self) {
        if self.0.load(Ordering::Acquire) != IN_DOUBT {
            self.0.store(SENT, Ordering::Release);
        }
    }

    /// The batch may have been applied, and the writer tries it again to find out. From now on its
    /// outcome is unknown until it is answered.
    #[cfg_attr(not(feature = "_sql"), allow(dead_code))]
    pub(crate) fn doubt(&self) {
        self.0.store(IN_DOUBT, Ordering::Release);
    }

    /// The COMMIT was sent and certainly not applied. The writer puts the batch off: its caller may
    /// withdraw it until the writer takes it again.
    pub(crate) fn refused(&self) {
        if self.take() {
            self.give_back();
        }
    }

    /// Returns true if the COMMIT of the batch was sent.
    pub(crate) fn is_sent(&self) -> bool {
        matches!(self.0.load(Ordering::Acquire), SENT | IN_DOUBT)
    }

    /// Returns true if the batch may have been applied by an earlier attempt.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.0.load(Ordering::Acquire) == IN_DOUBT
    }

    /// The writer puts the batch off: its caller may withdraw it again, unless it was sent before.
    pub(crate) fn give_back(&self) {
        let back = self
            .0
            .compare_exchange(TAKEN, WAITING, Ordering::AcqRel, Ordering::Acquire);
        // A batch that was sent stays with the writer.
        let _kept = back.is_err();
    }

    pub(crate) fn is_withdrawn(&self) -> bool {
        self.0.load(Ordering::Acquire) == WITHDRAWN
    }

    /// The caller withdraws the batch. Returns false if the writer has it.
    pub(crate) fn withdraw(&self) -> bool {
        self.0
            .compare_exchange(WAITING, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_was_put_off_may_be_withdrawn_again() {
        let claim = Claim::default();
        assert!(claim.take());
        assert!(!claim.withdraw());
        claim.give_back();
        assert!(claim.withdraw());
        assert!(!claim.take());
        claim.give_back();
        assert!(claim.is_withdrawn());
    }

    #[test]
    fn a_batch_that_was_sent_is_not_withdrawn_when_it_is_put_off() {
        let claim = Claim::default();
        assert!(claim.take());
        claim.send();
        claim.give_back();
        assert!(claim.is_sent());
        assert!(!claim.withdraw());
        assert!(claim.take());
        assert!(!claim.is_sent());
    }

    #[test]
    fn a_batch_that_was_refused_may_be_withdrawn() {
        let claim = Claim::default();
        assert!(claim.take());
        claim.send();
        claim.refused();
        assert!(!claim.is_sent());
        assert!(claim.withdraw());
        claim.refused();
        assert!(claim.is_withdrawn());
    }

    #[test]
    fn a_batch_in_doubt_stays_in_doubt_until_it_is_answered() {
        let claim = Claim::default();
        assert!(claim.take());
        claim.send();
        claim.doubt();
        assert!(claim.take());
        claim.give_back();
        claim.refused();
        assert!(!claim.withdraw());
        claim.send();
        claim.give_back();
        assert!(claim.is_sent());
    }
}

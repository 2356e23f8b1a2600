//! Without any of its rules the protocol does not hold: the checker finds how.
#![expect(clippy::print_stdout, reason = "`--nocapture` shows the runs")]

use keypool_model::properties::{
    ALL_OR_NONE, CAN_GO_ON, FAILURE_IS_TRUE, NO_KEY_LOST, NO_KEY_TWICE, ONE_ANSWER_PER_CLAIM, ONE_OWNER,
    ONE_SALE_PER_CLAIM, SIGNED_BEFORE, TOLD_IS_OWNED,
};
use keypool_model::trace::counterexample;
use keypool_model::{Desk, Rule, desks};

/// Says how `property` comes to be violated without the rules, at that desk.
fn breaks<const N: usize>(rules: [Rule; N], desk: Desk, property: &'static str) {
    let run = counterexample(&desk.without(rules), property, true);
    assert!(run.is_some(), "{property}, even without {rules:?}");
    println!("without {rules:?} not: {property}");
    for action in run.unwrap_or_default() {
        println!("    {action:?}");
    }
}

#[test]
fn two_buyers_get_one_key() {
    breaks([Rule::ChecksVersion, Rule::ChecksStatus], desks::small(), ONE_OWNER);
}

#[test]
fn both_are_told_so() {
    breaks([Rule::ChecksVersion, Rule::ChecksStatus], desks::small(), NO_KEY_TWICE);
}

#[test]
fn a_late_sale_passes_the_fence() {
    breaks([Rule::ChecksVersion], desks::small(), FAILURE_IS_TRUE);
}

#[test]
fn a_late_reservation_passes_the_fence() {
    breaks([Rule::ChecksVersion], desks::big(), NO_KEY_LOST);
}

#[test]
fn a_repeated_sale_takes_itself_for_another_buyer() {
    breaks([Rule::KnowsOwnSale], desks::small(), ALL_OR_NONE);
}

#[test]
fn a_repeated_reservation_takes_itself_for_another_order() {
    breaks([Rule::KnowsOwnReservation], desks::big_with_spare(), ALL_OR_NONE);
}

#[test]
fn a_part_of_an_order_is_sold() {
    breaks([Rule::SellsInOneTransaction], desks::small_pair(), ALL_OR_NONE);
}

#[test]
fn a_crash_leaves_a_sale_without_response() {
    breaks([Rule::CommitsLast], desks::small(), SIGNED_BEFORE);
}

#[test]
fn a_crash_leaves_a_big_sale_without_response() {
    breaks([Rule::CommitsLast], desks::big(), SIGNED_BEFORE);
}

#[test]
fn a_sale_arrives_after_all() {
    breaks([Rule::Fences], desks::small(), FAILURE_IS_TRUE);
}

#[test]
fn a_commit_arrives_after_all() {
    breaks([Rule::AbortsUnknownCommit], desks::big(), FAILURE_IS_TRUE);
}

#[test]
fn a_crash_before_the_claim_is_finished() {
    breaks([Rule::FinishesClaimInSale], desks::claimed(), ONE_SALE_PER_CLAIM);
}

#[test]
fn a_crash_before_the_claim_of_a_big_order_is_finished() {
    breaks([Rule::FinishesClaimInSale], desks::claimed_big(), ONE_SALE_PER_CLAIM);
}

#[test]
fn a_claim_that_was_lost_comes_back() {
    breaks([Rule::LostClaimIsUnknown], desks::claimed(), FAILURE_IS_TRUE);
}

#[test]
fn a_refusal_forgets_a_sale() {
    breaks([Rule::ReleaseChecksAttempt, Rule::ReleaseChecksState], desks::claimed(), ONE_ANSWER_PER_CLAIM);
}

#[test]
fn a_forgotten_sale_is_made_again() {
    breaks(
        [Rule::ReleaseChecksAttempt, Rule::ReleaseChecksState],
        desks::claimed_thrice(),
        ONE_SALE_PER_CLAIM,
    );
}

#[test]
fn a_reserved_key_stands_in_no_list() {
    breaks([Rule::ListsBeforeReserving], desks::big(), NO_KEY_LOST);
}

#[test]
fn a_list_comes_after_the_undoing() {
    breaks([Rule::AppendsOnlyWhileReserving], desks::big_that_misses(), NO_KEY_LOST);
}

#[test]
fn a_reservation_comes_after_its_replacement() {
    breaks([Rule::ReplacesOnlyDefiniteMisses], desks::big_with_spare(), ALL_OR_NONE);
}

#[test]
fn an_aborted_order_is_committed() {
    breaks([Rule::CommitChecksState], desks::big(), TOLD_IS_OWNED);
}

#[test]
fn an_aborted_order_is_committed_to_keys_of_others() {
    breaks([Rule::CommitChecksState], desks::big_beside_small(), ONE_OWNER);
}

#[test]
fn a_committed_order_is_aborted() {
    breaks([Rule::AbortChecksState], desks::big(), ONE_OWNER);
}

#[test]
fn a_key_of_another_is_marked() {
    breaks([Rule::MarkChecksOrder], desks::big_that_misses(), ONE_OWNER);
}

#[test]
fn a_key_of_another_is_put_back() {
    breaks([Rule::UndoChecksOrder], desks::claimed_big(), ONE_OWNER);
}

#[test]
fn a_reservation_comes_after_the_undoing() {
    breaks([Rule::UndoFences], desks::big(), NO_KEY_LOST);
}

#[test]
fn a_list_is_read_too_early() {
    breaks([Rule::AbortsBeforeReading], desks::big_that_misses(), NO_KEY_LOST);
}

#[test]
fn an_old_list_is_read() {
    breaks([Rule::ReadsListConsistently], desks::big(), NO_KEY_LOST);
}

#[test]
fn a_crash_after_the_list_was_deleted() {
    breaks([Rule::DeletesListLast], desks::big(), NO_KEY_LOST);
}

#[test]
fn an_order_comes_to_life_again() {
    breaks([Rule::KeepsFinishedOrders], desks::big(), TOLD_IS_OWNED);
}

#[test]
fn a_fresh_key_is_stored_after_the_undoing() {
    breaks([Rule::InsertsOnlyWhileReserving], desks::fresh(), NO_KEY_LOST);
}

#[test]
fn an_undoing_takes_a_later_reservation_back() {
    breaks([Rule::UndoChecksVersion], desks::two_big_stepping_back(), ONE_OWNER);
}

#[test]
fn a_crash_leaves_a_claim_behind() {
    breaks([Rule::TakesOver], desks::claimed(), CAN_GO_ON);
}

/// But for the one that is a second lock and breaks nothing when it is left out: see `holds.rs`.
#[test]
fn every_rule_is_left_out_somewhere() {
    let tests = include_str!("teeth.rs").split("every_rule_is_left_out").next().unwrap_or_default();
    for rule in Rule::ALL.into_iter().filter(|rule| *rule != Rule::SaleChecksAttempt) {
        assert!(tests.contains(&format!("Rule::{rule:?}")), "no test leaves {rule:?} out");
    }
}

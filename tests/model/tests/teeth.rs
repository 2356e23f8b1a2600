//! Without any one of its rules the protocol fails: the checker finds a run.
#![expect(clippy::print_stdout, reason = "`--nocapture` shows the runs")]

use keypool_model::properties::{
    ALL_OR_NONE, CAN_GO_ON, NO_KEY_LOST, NO_KEY_TWICE, NOTHING_SOLD_IS_TRUE, ONE_ANSWER_PER_HEADER,
    ONE_OWNER, ONE_SALE_PER_HEADER, SIGNED_BEFORE, TOLD_IS_OWNED,
};
use keypool_model::trace::counterexample;
use keypool_model::{Desk, Rule, desks};

/// Shows the shortest run that violates `property` at that desk without the rule.
fn breaks(rule: Rule, desk: Desk, property: &'static str) {
    let run = counterexample(&desk.without([rule]), property, true);
    assert!(run.is_some(), "{property}, even without {rule:?}");
    println!("without {rule:?} not: {property}");
    for action in run.unwrap_or_default() {
        println!("    {action:?}");
    }
}

#[test]
fn a_late_sale_passes_the_fence() {
    breaks(Rule::ChecksVersion, desks::small(), NOTHING_SOLD_IS_TRUE);
}

#[test]
fn a_repeated_sale_mistakes_itself_for_another() {
    breaks(Rule::KnowsOwnSale, desks::small(), ALL_OR_NONE);
}

#[test]
fn a_repeated_put_mistakes_itself_for_another() {
    breaks(Rule::KnowsOwnSale, desks::fresh_small(), ALL_OR_NONE);
}

#[test]
fn a_repeated_transaction_mistakes_itself_for_another() {
    breaks(Rule::RepeatsWithOneToken, desks::small_pair(), ALL_OR_NONE);
}

#[test]
fn a_repeated_take_mistakes_itself_for_another() {
    breaks(Rule::RepeatsWithOneToken, desks::large(), NO_KEY_LOST);
}

#[test]
fn a_part_of_a_sale_is_made() {
    breaks(Rule::WritesInOneTransaction, desks::small_pair(), ALL_OR_NONE);
}

#[test]
fn a_response_is_recorded_without_its_key() {
    breaks(Rule::WritesInOneTransaction, desks::small_with_two_headers(), NO_KEY_TWICE);
}

#[test]
fn a_key_is_reserved_in_no_part() {
    breaks(Rule::WritesInOneTransaction, desks::large(), NO_KEY_LOST);
}

#[test]
fn a_crash_leaves_a_sale_without_response() {
    breaks(Rule::SignsFirst, desks::small(), SIGNED_BEFORE);
}

#[test]
fn a_crash_leaves_a_large_order_without_response() {
    breaks(Rule::SignsFirst, desks::large(), SIGNED_BEFORE);
}

#[test]
fn a_sale_arrives_after_all() {
    breaks(Rule::ResolvesUnknownOutcome, desks::small(), NOTHING_SOLD_IS_TRUE);
}

#[test]
fn a_finish_arrives_after_all() {
    breaks(Rule::ResolvesUnknownOutcome, desks::large(), NOTHING_SOLD_IS_TRUE);
}

#[test]
fn a_fresh_key_is_stored_after_all() {
    breaks(Rule::ResolvesUnknownOutcome, desks::fresh_small(), NOTHING_SOLD_IS_TRUE);
}

#[test]
fn the_fence_meets_a_sale_that_was_made() {
    breaks(Rule::ReadsRefusedFence, desks::small(), NOTHING_SOLD_IS_TRUE);
}

#[test]
fn the_first_key_of_a_sale_was_released() {
    breaks(Rule::DoubtsMovedKey, desks::small_pair(), NOTHING_SOLD_IS_TRUE);
}

#[test]
fn a_crash_before_the_response_is_recorded() {
    breaks(Rule::RecordsResponseInSale, desks::small_with_header(), ONE_SALE_PER_HEADER);
}

#[test]
fn two_attempts_sell_under_one_header() {
    breaks(Rule::ChecksRecord, desks::small_with_header(), ONE_SALE_PER_HEADER);
}

#[test]
fn a_take_arrives_after_the_undo() {
    breaks(Rule::ChecksRecord, desks::large(), NO_KEY_LOST);
}

#[test]
fn a_finish_arrives_after_the_void() {
    breaks(Rule::ChecksRecord, desks::large(), NOTHING_SOLD_IS_TRUE);
}

#[test]
fn a_voided_order_is_finished_with_keys_of_others() {
    breaks(Rule::ChecksRecord, desks::large_that_misses(), ONE_OWNER);
}

#[test]
fn a_late_begin_revives_an_order() {
    breaks(Rule::BeginsOnce, desks::large(), NO_KEY_LOST);
}

#[test]
fn a_revived_order_sells_keys_of_others() {
    breaks(Rule::BeginsOnce, desks::large_beside_small(), ONE_OWNER);
}

#[test]
fn a_void_record_expires_too_early() {
    breaks(Rule::KeepsRecords, desks::large(), NO_KEY_LOST);
}

#[test]
fn a_done_record_expires_before_its_entry() {
    breaks(Rule::KeepsRecords, desks::large(), TOLD_IS_OWNED);
}

#[test]
fn a_done_order_is_voided() {
    breaks(Rule::VoidsOnlyOpen, desks::large(), NOTHING_SOLD_IS_TRUE);
}

#[test]
fn a_recorded_response_is_voided() {
    breaks(Rule::VoidsOnlyOpen, desks::large_with_header(), ONE_ANSWER_PER_HEADER);
}

#[test]
fn the_parts_are_read_too_early() {
    breaks(Rule::ReadsPartsAfterVoid, desks::large(), NO_KEY_LOST);
}

#[test]
fn an_undo_takes_the_key_of_another() {
    breaks(Rule::ChangesOnlyOwnReservation, desks::large_beside_small(), ONE_OWNER);
}

#[test]
fn a_crash_after_the_part_was_deleted() {
    breaks(Rule::DeletesPartWithKeys, desks::large(), NO_KEY_LOST);
}

#[test]
fn a_crash_after_the_entry_was_deleted() {
    breaks(Rule::DeletesEntryLast, desks::large(), NO_KEY_LOST);
}

#[test]
fn a_crash_leaves_an_open_record_behind() {
    breaks(Rule::TakesOver, desks::large_with_header(), CAN_GO_ON);
}

#[test]
fn every_rule_is_left_out_somewhere() {
    let tests = include_str!("teeth.rs").split("every_rule_is_left_out").next().unwrap_or_default();
    for rule in Rule::ALL {
        assert!(tests.contains(&format!("Rule::{rule:?}")), "no test leaves {rule:?} out");
    }
}

//! The store's stories, each told on SQLite and on PostgreSQL with the same words.

mod accounts;
mod alerts;
mod enrolment;
mod fleet;
mod house;
mod isolation;
mod ledger;
mod relays;
mod trails;
mod transfer;
mod work;

use house::House;

/// Each story is a test of its own on SQLite; on PostgreSQL one server tells them all, each in its own database.
macro_rules! stories {
    ($($module:ident :: $story:ident,)*) => {
        mod sqlite {
            $(#[test]
            fn $story() {
                let (_room, house) = super::House::on_sqlite();
                house.tell(super::$module::$story(&house));
            })*
        }

        #[test]
        fn the_same_stories_on_postgres() {
            let Some(postgres) = testkit::Postgres::start() else { return };
            $({
                let house = House::at(&postgres.database(stringify!($story)));
                let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| house.tell($module::$story(&house))));
                assert!(told.is_ok(), "on PostgreSQL: {}", stringify!($story));
            })*
        }
    };
}

stories! {
    accounts::a_session_opens_until_it_is_ended_unused_or_old,
    accounts::a_link_and_a_one_time_password_let_in_once,
    accounts::a_token_may_do_what_it_was_made_for_and_no_more_than_its_maker,
    accounts::a_tenant_keeps_an_owner_and_addresses_are_one_person,
    accounts::a_grant_ends_by_itself_and_the_partner_sees_nothing_after,
    alerts::an_alert_is_one_until_it_closes_and_each_message_is_put_once,
    alerts::a_silence_counts_what_it_held_and_ends,
    alerts::the_first_who_acknowledges_has_it,
    enrolment::a_code_lets_in_as_many_as_it_says_and_tells_nothing_else,
    enrolment::a_machine_whose_answer_was_lost_is_the_same_machine_when_it_asks_again,
    enrolment::of_two_machines_with_one_code_at_once_one_gets_in,
    enrolment::a_copied_identity_is_believed_at_neither_place_until_a_person_says,
    fleet::machines_are_shown_worst_first_page_by_page,
    fleet::a_machine_is_judged_when_something_happens_and_when_a_limit_passes,
    fleet::all_of_a_sites_servers_silent_means_unknown,
    fleet::who_may_not_change_retention_does_not_by_policy_either,
    isolation::nothing_outside_a_scope_is_found_or_changed,
    ledger::a_file_is_received_once_and_never_with_other_bytes,
    ledger::receipts_never_go_back_in_time_and_the_first_snapshot_closes_the_enrolment,
    ledger::a_keeper_comes_in_at_the_gateway_while_its_account_is_good,
    ledger::a_snapshot_of_a_machine_without_an_agent_is_a_backup,
    ledger::only_the_right_credential_of_a_trusted_machine_opens_its_repository,
    relays::a_question_is_taken_by_one_server_and_what_comes_back_is_bounded_and_in_order,
    relays::nobody_is_told_of_a_keeper_that_has_left_or_of_a_question_that_is_over,
    trails::every_change_has_a_line_and_the_log_verifies,
    trails::lines_appended_by_two_servers_at_once_are_one_chain,
    trails::many_changes_by_two_servers_at_once_all_happen,
    trails::settings_are_kept_by_tenant_and_name,
    transfer::all_that_is_known_moves_into_an_empty_database_and_nothing_into_another,
    work::what_is_due_twice_is_done_once_by_one_of_two_servers,
    work::a_worker_that_vanished_is_replaced_and_not_listened_to_any_more,
    work::a_run_reports_ends_once_and_marks_its_day,
}

#[test]
fn a_database_of_a_newer_program_is_refused_on_both() {
    let (room, house) = House::on_sqlite();
    house.make_newer();
    let path = format!("sqlite:{}", room.path().join("db").display());
    assert!(House::open_error(&path).contains("use the newer program again"));
    let Some(postgres) = testkit::Postgres::start() else { return };
    let address = postgres.database("newer");
    House::at(&address).make_newer();
    assert!(House::open_error(&address).contains("use the newer program again"));
}

#[test]
fn a_copy_of_a_used_sqlite_database_is_a_whole_database() {
    let (room, house) = House::on_sqlite();
    let copy = room.path().join("copy");
    house.tell(async {
        house.owner().await;
        house.store.copy_to(copy.to_str().unwrap()).await.unwrap();
    });
    let other = House::at(&format!("sqlite:{}", copy.display()));
    assert!(!other.tell(other.store.system().is_new()).unwrap());
}

#[test]
fn no_address_is_told_with_its_password() {
    let error = House::open_error("mysql://root:hunter2@localhost/db");
    assert!(error.contains("mysql://root@localhost/db") && !error.contains("hunter2"), "{error}");
}

//! Questions between two servers.

use fleet::Uuid;
use stead_store::{KeeperId, NewKeeper, Put, Relay, RelayId, RelayState};

use crate::house::{House, after, start};

const MOST: u64 = 2;

async fn keeper(house: &House) -> KeeperId {
    let id = KeeperId::made(start(), house.random());
    let new = NewKeeper { id, name: "vault".into(), identity: [1; 32], public: [2; 32] };
    house.store.system().add_keeper(&new, start()).await.unwrap()
}

async fn question(house: &House) -> Relay {
    let (id, keeper) = (RelayId::made(start(), house.random()), keeper(house).await);
    let relay = Relay { id, keeper, question: b"sealed".to_vec() };
    house.store.system().relay(&relay, after(1)).await.unwrap();
    relay
}

pub(crate) async fn a_question_is_taken_by_one_server_and_what_comes_back_is_bounded_and_in_order(house: &House) {
    let (asks, answers) = (house.store.system(), house.second.system());
    let relay = question(house).await;
    let (id, mine) = (relay.id, [relay.keeper]);
    assert_eq!(answers.take_relays(&[]).await.unwrap(), []);
    assert_eq!(asks.relay_state(id).await.unwrap(), RelayState::Waits);
    let (one, other) = tokio::join!(asks.take_relays(&mine), answers.take_relays(&mine));
    assert_eq!([one.unwrap(), other.unwrap()].concat(), [relay], "one of both has it");
    assert!(answers.relay_goes_on(id).await.unwrap());
    assert_eq!(asks.relay_state(id).await.unwrap(), RelayState::Heard(2));

    for (number, put) in [(0, Put::Done), (1, Put::Done), (2, Put::Full)] {
        assert_eq!(answers.put_piece(id, number, &[number as u8], MOST).await.unwrap(), put);
    }
    assert_eq!(asks.take_pieces(id).await.unwrap(), [(0, vec![0]), (1, vec![1])]);
    assert_eq!(asks.take_pieces(id).await.unwrap(), []);
    assert_eq!(answers.put_piece(id, 2, &[2], MOST).await.unwrap(), Put::Done);
    asks.end_relay(id).await.unwrap();
    assert_eq!(asks.take_pieces(id).await.unwrap(), [], "nothing stays");
    assert_eq!(answers.put_piece(id, 3, &[3], MOST).await.unwrap(), Put::Gone);
    assert!(!answers.relay_goes_on(id).await.unwrap());
}

pub(crate) async fn nobody_is_told_of_a_keeper_that_has_left_or_of_a_question_that_is_over(house: &House) {
    let system = house.store.system();
    let relay = question(house).await;
    let (here, there, vault) = (Uuid::from_u128(1), Uuid::from_u128(2), relay.keeper);
    assert!(!system.keeper_is_elsewhere(vault, here, start()).await.unwrap());
    system.keeper_is_at(vault, there, after(2)).await.unwrap();
    assert!(system.keeper_is_elsewhere(vault, here, after(1)).await.unwrap());
    assert!(!system.keeper_is_elsewhere(vault, there, after(1)).await.unwrap());
    assert!(!system.keeper_is_elsewhere(vault, here, after(2)).await.unwrap(), "its server was not heard for long");
    system.keeper_left(vault, here).await.unwrap();
    assert!(system.keeper_is_elsewhere(vault, here, after(1)).await.unwrap(), "another server's word counts");
    system.keeper_left(vault, there).await.unwrap();
    assert!(!system.keeper_is_elsewhere(vault, here, after(1)).await.unwrap());

    system.take_relays(&[vault]).await.unwrap();
    system.close_relay(relay.id).await.unwrap();
    assert_eq!(system.relay_state(relay.id).await.unwrap(), RelayState::Closed);
    system.keep_relay(relay.id, after(3)).await.unwrap();
    assert_eq!(system.sweep_relays(after(2)).await.unwrap(), 0);
    assert_eq!(system.sweep_relays(after(3)).await.unwrap(), 1);
    assert_eq!(system.relay_state(relay.id).await.unwrap(), RelayState::Gone);
}

//! A keeper that runs in this process.

use std::sync::Arc;
use std::thread::JoinHandle;

use api::wire::keeper::Kept;
use backend::SystemClock;
use repo::Cancel;
use repo::lock::LockOwner;
use stead_keeper::home::Home;
use stead_keeper::keys::{Keys, Opener, Public};
use stead_keeper::recovery::Sheets;
use stead_keeper::{Dial, Setup, run};

use crate::front::{Front, Line, Repositories, kept};
use crate::house::House;

/// A keeper that runs in this process, and stops when it is dropped.
pub(crate) struct Running {
    stop: Cancel,
    thread: Option<JoinHandle<()>>,
    home: Home,
    pub(crate) public: Public,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a keeper that ends well");
        }
    }
}

impl Running {
    /// Starts a keeper that calls here.
    pub(crate) fn start(front: &Front, house: &House) -> Running {
        let home = Home::at(house.room.path().join("running")).expect("a directory");
        let opener = Opener::File(home.key_file());
        let keys = match home.keys().exists() {
            true => Keys::open(&home.keys(), &opener),
            false => Keys::init(&home.keys(), &opener),
        };
        let keys = keys.expect("keys");
        let (public, own) = (keys.public(), home.clone());
        let setup = Setup {
            home,
            keys,
            dial: Dial::to(&front.address(), None).expect("an address"),
            version: "test".into(),
            clock: Arc::new(SystemClock),
            owner: LockOwner::this_process("keeper-host", "keeper"),
            workers: 2,
            notice: Arc::new(|_| ()),
        };
        let stop = Cancel::default();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || run(setup, &stopped).expect("a keeper that ends well"));
        Running { stop, thread: Some(thread), home: own, public }
    }

    /// Its next call.
    pub(crate) fn call(&self, front: &mut Front, house: &House) -> Line {
        let at = Repositories { address: &house.gateway.address, account: "", credential: "" };
        front.call(&self.public.identity, &at)
    }

    /// The recovery sheets, as a command beside the keeper has them.
    pub(crate) fn sheets(&self) -> Sheets {
        let opener = Opener::File(self.home.key_file());
        Sheets::of(&self.home, &Keys::open(&self.home.keys(), &opener).expect("keys"))
    }

    /// The machine of a house, as it is named to this keeper.
    pub(crate) fn kept(&self, house: &House) -> Kept {
        kept(house.machine, house.client, &self.public.public)
    }
}

//! The percentage that people see never goes backwards without saying why, whatever reports arrive in whatever order.

use jiff::Timestamp;
use proptest::prelude::*;
use stead_fleet::{Amount, Phase, Progress, Report, RunCondition, Zone};

fn some_report() -> impl Strategy<Value = Report> {
    let amount = (any::<u32>(), any::<u32>()).prop_map(|(a, b)| (u64::from(a.min(b)), u64::from(a.max(b))));
    let setback = proptest::option::weighted(0.2, Just("3 GB changed while they were read".to_owned()));
    (0u64..40, 0i64..1_000_000, amount, setback).prop_map(|(number, at, (done, total), setback)| Report {
        number,
        at: Timestamp::from_second(at).unwrap(),
        phase: Phase::Reading,
        condition: RunCondition::Moving,
        amount: Amount { done, total, new: done / 2 },
        setback,
    })
}

proptest! {
    #[test]
    fn it_never_falls_without_a_reason_and_is_100_only_at_the_end(reports in proptest::collection::vec(some_report(), 1..40)) {
        let mut progress = Progress::default();
        for report in reports {
            let before = progress.clone();
            let overtaken = report.number <= before.number;
            let reason = report.setback.is_some() || report.amount.total > before.amount.total;
            progress.hear(report);
            prop_assert!(!overtaken || progress == before);
            prop_assert!(progress.thousandths >= before.thousandths || (reason && progress.setback.is_some()));
            prop_assert!(progress.percent() < 100);
            prop_assert!(!progress.words(&Zone::utc()).is_empty());
        }
        progress.finish();
        prop_assert_eq!(progress.percent(), 100);
    }
}

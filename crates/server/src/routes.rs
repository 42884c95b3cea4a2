//! The router, made from the one table of routes: a route that the table names and nothing answers does not compile.

use api::Route;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use tower_http::compression::CompressionLayer;

use crate::app::App;
use crate::frame;
use crate::pages::{
    acts, alerts, audit, client, destinations, enrol, fleet, grants, machine, machine_settings, messages, now, own,
    passkeys, people, plain, policies, settings, sheet, sign_in, silence, snapshots, welcome,
};
use crate::{answer, assets, calls, join};

/// Everything that is answered.
pub(crate) fn router(app: App) -> Router {
    let mut router = Router::new();
    for route in Route::ALL {
        router = router.route(route.path(), of(*route));
    }
    router.layer(from_fn_with_state(app.clone(), frame::around)).layer(CompressionLayer::new()).with_state(app)
}

fn of(route: Route) -> MethodRouter<App> {
    match route {
        Route::Health => get(answer::health),
        Route::Asset => get(assets::get),
        Route::SignInPage => get(sign_in::get),
        Route::SignIn => post(sign_in::post),
        Route::BeginPasskeySignIn => post(passkeys::begin_sign_in),
        Route::PasskeySignIn => post(passkeys::sign_in),
        Route::WelcomePage => get(welcome::get),
        Route::Welcome => post(welcome::post),
        Route::SignOut => post(sign_in::leave),
        Route::Fleet => get(fleet::get),
        Route::FleetLive => get(fleet::live),
        Route::Client => get(client::get),
        Route::AddClient => post(client::add),
        Route::SilenceClient => post(silence::client),
        Route::Sheet => get(sheet::get),
        Route::ConfirmSheet => post(sheet::confirm),
        Route::Machine => get(machine::get),
        Route::MachineLive => get(machine::live),
        Route::PauseMachine => post(machine::pause),
        Route::MachineSettings => get(machine_settings::get),
        Route::SaveMachineSettings => post(machine_settings::save),
        Route::RetireMachine => post(machine_settings::retire),
        Route::ResumeMachine => post(machine::resume),
        Route::ReleaseMachine => post(acts::release),
        Route::BackUp => post(acts::back_up),
        Route::CancelJob => post(acts::cancel),
        Route::Snapshots => get(snapshots::list),
        Route::Folder => get(snapshots::folder),
        Route::Preview => get(snapshots::preview),
        Route::Download => get(snapshots::download),
        Route::FindFile => get(snapshots::find),
        Route::Restore => post(acts::restore),
        Route::Alerts => get(alerts::get),
        Route::Alert => get(alerts::one),
        Route::AcknowledgeAlert => post(alerts::acknowledge),
        Route::ReleaseAlert => post(alerts::release),
        Route::SilenceAlert => post(silence::alert),
        Route::EndSilence => post(silence::end),
        Route::People => get(people::get),
        Route::AddPerson => post(people::add),
        Route::PersonLink => post(people::link),
        Route::ChangeRole => post(people::role),
        Route::GiveGrant => post(grants::give),
        Route::EndGrant => post(grants::end),
        Route::Enrol => get(enrol::get),
        Route::MakeCode => post(enrol::make),
        Route::MakePlain => post(plain::make),
        Route::EndCode => post(enrol::end),
        Route::Policies => get(policies::get),
        Route::NewPolicy => get(policies::new),
        Route::Policy => get(policies::one),
        Route::SavePolicy => post(policies::save),
        Route::CopyPolicy => post(policies::copy),
        Route::RemovePolicy => post(policies::remove),
        Route::Destinations => get(destinations::get),
        Route::SaveDestination => post(destinations::save),
        Route::AuditExport => get(audit::export),
        Route::Audit => get(audit::get),
        Route::Settings => get(settings::get),
        Route::ChangePassword => post(settings::password),
        Route::BeginFactor => post(settings::begin_factor),
        Route::ConfirmFactor => post(settings::confirm_factor),
        Route::RemoveFactor => post(settings::remove_factor),
        Route::BeginPasskey => post(passkeys::begin),
        Route::AddPasskey => post(passkeys::add),
        Route::EndPasskey => post(passkeys::end),
        Route::EndSession => post(settings::end_session),
        Route::MakeToken => post(settings::make_token),
        Route::EndToken => post(settings::end_token),
        Route::OwnMessages => get(own::get),
        Route::SaveOwnMessages => post(own::save),
        Route::TestOwnMessages => post(own::test),
        Route::Messages => get(messages::get),
        Route::SaveSteps => post(messages::steps),
        Route::SaveMail => post(messages::mail),
        Route::SaveWebhook => post(messages::webhook),
        Route::WebhookKey => post(messages::key),
        Route::SaveWatchdog => post(messages::watchdog),
        Route::TestMessages => post(messages::test),
        Route::OpenApi => get(answer::open_api),
        Route::ApiEnrol => post(join::enrol),
        Route::ApiCall => get(calls::take),
        Route::ApiFleet => get(answer::fleet),
        Route::ApiMachine => get(answer::machine),
        Route::ApiRuns => get(answer::runs),
        Route::ApiBackUp => post(answer::back_up),
        Route::ApiAlerts => get(answer::alerts),
        Route::ApiAcknowledge => post(answer::acknowledge),
        Route::ApiRelease => post(answer::release),
        Route::ApiPause => post(answer::firm::pause),
        Route::ApiResume => post(answer::firm::resume),
        Route::ApiClients => get(answer::firm::clients),
        Route::ApiAddClient => post(answer::firm::add_client),
        Route::ApiMakeCode => post(answer::firm::make_code),
        Route::ApiPeople => get(answer::people::list),
        Route::ApiAddPerson => post(answer::people::add),
        Route::ApiPersonLink => post(answer::people::link),
        Route::ApiChangeRole => post(answer::people::role),
        Route::ApiGrants => get(answer::people::grants),
        Route::ApiGiveGrant => post(answer::people::grant),
        Route::ApiEndGrant => post(answer::people::end_grant),
        Route::ApiPolicies => get(answer::policies::list),
        Route::ApiSavePolicy => post(answer::policies::save),
        Route::ApiRemovePolicy => post(answer::policies::remove),
        Route::ApiAudit => get(answer::firm::audit),
    }
}

//! A browser without script: keeps one cookie, fills forms with the token of the page that it looked at last.

use reqwest::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// Where it leads.
    pub(crate) fn leads_to(&self) -> &str {
        self.header(LOCATION.as_str())
    }

    /// The token that its forms carry.
    pub(crate) fn token(&self) -> Option<String> {
        let (_, rest) = self.text.split_once(r#"name="token" value=""#)?;
        Some(rest.split('"').next()?.to_owned())
    }
}

/// A browser.
#[derive(Clone)]
pub(crate) struct Browser {
    http: reqwest::Client,
    origin: String,
    pub(crate) cookie: String,
    pub(crate) token: String,
}

impl Browser {
    pub(crate) fn new(origin: &str) -> Browser {
        let http = reqwest::Client::builder().redirect(Policy::none()).tls_danger_accept_invalid_certs(true);
        let http = http.build().unwrap();
        Browser { http, origin: origin.into(), cookie: String::new(), token: String::new() }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let request = self.http.get(format!("{}{path}", self.origin)).header("accept", "text/html");
        let answer = self.answer(request).await;
        self.token = answer.token().unwrap_or_else(|| self.token.clone());
        answer
    }

    /// Sends a form as a page of the server would: from the same origin, with the token.
    pub(crate) async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token.clone();
        let mut fields = fields.to_vec();
        fields.push(("token", &token));
        self.send_as(path, &fields, &[("sec-fetch-site", "same-origin")]).await
    }

    /// Sends a form with these fields and headers, and nothing else.
    pub(crate) async fn send_as(&mut self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let mut request = self.http.post(format!("{}{path}", self.origin)).form(fields);
        for (name, value) in headers {
            request = request.header(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        self.answer(request).await
    }

    async fn answer(&mut self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.header(COOKIE, &self.cookie).send().await.unwrap();
        if let Some(cookie) = response.headers().get(SET_COOKIE) {
            self.cookie = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    /// How something is answered; what is said is not waited for.
    pub(crate) async fn status(&self, post: bool, path: &str, token: Option<&str>) -> u16 {
        let address = format!("{}{path}", self.origin);
        let request = if post { self.http.post(address) } else { self.http.get(address) };
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request.header(COOKIE, &self.cookie),
        };
        request.send().await.unwrap().status().as_u16()
    }

    /// Asks the JSON API with a token.
    pub(crate) async fn ask(&self, path: &str, token: &str) -> (u16, serde_json::Value) {
        let request = self.http.get(format!("{}{path}", self.origin)).bearer_auth(token);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    /// Sends JSON to the API.
    pub(crate) async fn tell(&self, path: &str, body: &serde_json::Value) -> (u16, serde_json::Value) {
        let response = self.http.post(format!("{}{path}", self.origin)).json(body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }
}

//! What a request to a cluster carries beside the question: authorization and configured headers, read now.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue as Value};
use tokio::time::Instant;

use super::oauth2::Tokens;
use super::secret::{Held, Secret, Troubles};
use super::{Auth, FetchError, HeaderValue, sensitive, unusable};

/// The credentials of one cluster, with what was read of them last.
#[derive(Debug)]
pub(super) struct Credentials {
    auth: Option<HeldAuth>,
    headers: Vec<(HeaderName, Vec<HeldValue>)>,
}

#[derive(Debug)]
enum HeldAuth {
    Header { scheme: String, secret: Held },
    Basic { username: String, password: Held },
    OAuth2(Box<Tokens>),
}

#[derive(Debug)]
enum HeldValue {
    Plain(Value),
    Secret(Held),
}

/// The headers of one request.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) headers: HeaderMap,
    /// The token among them that can be fetched anew.
    pub(super) token: Option<Arc<Secret>>,
}

impl Credentials {
    /// Nothing is read yet.
    pub(super) fn new(
        auth: Option<&Auth>,
        headers: &[(String, Vec<HeaderValue>)],
    ) -> Result<Self, FetchError> {
        let auth = auth.map(|auth| match auth {
            Auth::Header {
                scheme,
                credentials,
            } => Ok(HeldAuth::Header {
                scheme: scheme.clone(),
                secret: Held::for_header(credentials.clone()),
            }),
            Auth::Basic { username, password } => Ok(HeldAuth::Basic {
                username: username.clone(),
                password: Held::new(password.clone()),
            }),
            Auth::OAuth2(settings) => {
                Tokens::new((**settings).clone()).map(|tokens| HeldAuth::OAuth2(Box::new(tokens)))
            }
        });
        let headers = headers.iter().map(|(name, values)| {
            let what = || format!("header {name}");
            let values = values.iter().map(|value| match value {
                HeaderValue::Plain(text) => Value::try_from(text)
                    .map(HeldValue::Plain)
                    .map_err(|error| unusable(&what(), &error)),
                HeaderValue::Secret(source) => {
                    Ok(HeldValue::Secret(Held::for_header(source.clone())))
                }
            });
            let name = HeaderName::try_from(name).map_err(|error| unusable(&what(), &error))?;
            Ok((name, values.collect::<Result<Vec<_>, FetchError>>()?))
        });
        Ok(Self {
            auth: auth.transpose()?,
            headers: headers.collect::<Result<Vec<_>, FetchError>>()?,
        })
    }

    /// The headers for a request that is made now.
    pub(super) async fn carry(
        &self,
        deadline: Instant,
        troubles: &mut Troubles,
    ) -> Result<Carried, FetchError> {
        let mut carried = Carried {
            headers: HeaderMap::new(),
            token: None,
        };
        for (name, values) in &self.headers {
            for value in values {
                let value = match value {
                    HeldValue::Plain(value) => value.clone(),
                    HeldValue::Secret(held) => sensitive(held.read(troubles)?.expose())
                        .map_err(|error| unusable(&format!("header {name}"), &error))?,
                };
                carried.headers.append(name, value);
            }
        }
        let value = match &self.auth {
            None => return Ok(carried),
            Some(HeldAuth::Header { scheme, secret }) => {
                sensitive(&format!("{scheme} {}", secret.read(troubles)?.expose()))
            }
            Some(HeldAuth::Basic { username, password }) => {
                sensitive(&basic(username, &*password.read(troubles)?))
            }
            Some(HeldAuth::OAuth2(tokens)) => {
                let token = tokens.get(deadline, troubles).await?;
                let value = sensitive(token.expose());
                carried.token = Some(token);
                value
            }
        };
        let value = value.map_err(|error| unusable("the credentials", &error))?;
        carried.headers.insert(AUTHORIZATION, value);
        Ok(carried)
    }

    /// The server refused a token: the next request carries a new one.
    pub(super) fn refuse(&self, token: &Arc<Secret>) {
        if let Some(HeldAuth::OAuth2(tokens)) = &self.auth {
            tokens.refuse(token);
        }
    }

    /// Forgets the connections that credentials are fetched by.
    pub(super) fn reconnect(&self) -> Result<(), FetchError> {
        match &self.auth {
            Some(HeldAuth::OAuth2(tokens)) => tokens.reconnect(),
            _ => Ok(()),
        }
    }

    /// Every credential that was sent, in whatever form.
    pub(super) fn secrets(&self) -> Vec<Arc<Secret>> {
        let mut secrets: Vec<Arc<Secret>> = self
            .headers
            .iter()
            .flat_map(|(_, values)| values)
            .filter_map(|value| match value {
                HeldValue::Plain(_) => None,
                HeldValue::Secret(held) => held.last(),
            })
            .collect();
        match &self.auth {
            None => {}
            Some(HeldAuth::Header { secret, .. }) => secrets.extend(secret.last()),
            Some(HeldAuth::Basic { username, password }) => {
                if let Some(password) = password.last() {
                    let coded = basic(username, &password);
                    let coded = coded.trim_start_matches("Basic ").to_owned();
                    secrets.extend([password, Arc::new(Secret::from(coded))]);
                }
            }
            Some(HeldAuth::OAuth2(tokens)) => secrets.extend(tokens.secrets()),
        }
        secrets
    }
}

fn basic(username: &str, password: &Secret) -> String {
    format!(
        "Basic {}",
        STANDARD.encode(format!("{username}:{}", password.expose()))
    )
}

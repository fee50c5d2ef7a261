//! What we have none of: exemplars, rules, alerts, Alertmanagers. Clients ask for them at every start, so the answers
//! are well-formed, and wrong parameters are as wrong as at Prometheus.

use serde_json::json;

use super::Served;
use super::error::ApiError;
use super::params::Form;
use super::query::parsed;
use super::write::Reply;
use crate::query::Engine;

/// No exemplars. Grafana sends its times in milliseconds, which are times far ahead.
pub(super) async fn exemplars(form: &Form, served: &Served) -> Result<Reply, ApiError> {
    let (start_ms, end_ms) = form.times()?;
    if end_ms < start_ms {
        let why = "end timestamp must not be before start timestamp";
        return Err(ApiError::bad_data(why));
    }
    parsed(form, served)
        .await?
        .map_err(|errors| ApiError::bad_data(errors.into_first().to_string()))?;
    Reply::json(&json!([]))
}

/// No rules.
pub(super) async fn rules(form: &Form, engine: &Engine) -> Result<Reply, ApiError> {
    let (kind, limit) = (form.get("type").to_lowercase(), form.get("group_limit"));
    let token = form.get("group_next_token");
    if !matches!(&*kind, "" | "alert" | "record") {
        let why = format!("not supported value {kind:?}");
        return Err(ApiError::parameter("type", why));
    }
    form.selectors(engine).await?;
    let exclude = form.get("exclude_alerts");
    let words = [
        "1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False",
    ];
    if !exclude.is_empty() && !words.contains(&exclude) {
        let why = "error converting exclude_alerts: strconv.ParseBool: parsing";
        let why = format!("{why} {exclude:?}: invalid syntax");
        return Err(ApiError::parameter("exclude_alerts", why));
    }
    if !token.is_empty() && limit.is_empty() {
        let why = "group_limit needs to be present in order to paginate over the groups";
        return Err(ApiError::parameter("group_next_token", why));
    }
    if !limit.is_empty() {
        match limit.parse::<i32>() {
            Err(_) => {
                let why = "group_limit needs to be a valid number: strconv.ParseInt: parsing";
                let why = format!("{why} {limit:?}: invalid syntax");
                return Err(ApiError::parameter("group_limit", why));
            }
            Ok(..=0) => {
                let why = "group_limit needs to be greater than 0";
                return Err(ApiError::parameter("group_limit", why));
            }
            Ok(_) => {}
        }
    }
    if !token.is_empty() {
        let why = format!("invalid group_next_token '{token}'. were rule groups changed?");
        return Err(ApiError::parameter("group_next_token", why));
    }
    Reply::json(&json!({"groups": []}))
}

/// No alerts.
pub(super) fn alerts() -> Result<Reply, ApiError> {
    Reply::json(&json!({"alerts": []}))
}

/// No Alertmanagers.
pub(super) fn alertmanagers() -> Result<Reply, ApiError> {
    Reply::json(&json!({"activeAlertmanagers": [], "droppedAlertmanagers": []}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;
    use crate::query::Settings;

    #[tokio::test]
    async fn parameters_of_rules() {
        let pool = Pool::new(tokio::runtime::Handle::current(), 1);
        let engine = Engine::new(Settings::default(), pool);
        let check = async |query: &str, want: &str| {
            let mut form = Form::default();
            form.add(query.as_bytes()).unwrap();
            let got = rules(&form, &engine).await;
            let got = got.map_or_else(|error| error.text, |_| String::new());
            assert_eq!(got, want, "{query}");
        };
        check("", "").await;
        check(
            "type=alert&rule_name[]=x&exclude_alerts=true&group_limit=3",
            "",
        )
        .await;
        check(
            "type=x",
            "invalid parameter \"type\": not supported value \"x\"",
        )
        .await;
        check(
            "match[]=%7B%7D",
            "match[] must contain at least one non-empty matcher",
        )
        .await;
        check(
            "group_limit=0",
            "invalid parameter \"group_limit\": group_limit needs to be greater than 0",
        )
        .await;
        check(
            "group_next_token=x",
            "invalid parameter \"group_next_token\": group_limit needs to be present in order to paginate over the groups",
        ).await;
        check(
            "group_limit=1&group_next_token=x",
            "invalid parameter \"group_next_token\": invalid group_next_token 'x'. were rule groups changed?",
        ).await;
    }
}

//! Pages of lists: their query parameters, their size, and the cursor of the next page.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::chat::ChatError;

/// The query parameters of a list that has no others.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// The largest number of items in the page.
    #[param(minimum = 1, maximum = 100, default = 50, example = 50)]
    pub(super) limit: Option<u32>,
    /// The `next_cursor` of the previous page. Without it, the list starts at its first item.
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    pub(super) cursor: Option<String>,
}

/// The number of items in a page: 1 to 100, by default 50.
///
/// # Errors
/// [`ChatError::Invalid`] where `limit` is outside of these bounds.
pub(crate) fn page_size(limit: Option<u32>) -> Result<usize, ChatError> {
    match limit.unwrap_or(50) {
        limit @ 1..=100 => Ok(limit as usize),
        _ => Err(ChatError::invalid("limit must be 1 to 100")),
    }
}

/// The item after which the page starts, as `decode` reads it from the cursor; `None` without a cursor.
///
/// # Errors
/// [`ChatError::BadCursor`] where `decode` returns `None`: the cursor is not of this list.
pub(crate) fn start_after<K>(
    cursor: Option<&str>,
    decode: impl FnOnce(&str) -> Option<K>,
) -> Result<Option<K>, ChatError> {
    cursor.map(|text| decode(text).ok_or(ChatError::BadCursor)).transpose()
}

/// Cuts `items`, of which one more than `limit` was read, to a page. Returns the page, and the cursor of its last item
/// where more items follow.
pub(crate) fn cut<T, D: From<T>>(
    mut items: Vec<T>,
    limit: usize,
    cursor: impl Fn(&T) -> String,
) -> (Vec<D>, Option<String>) {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(cursor);
    (items.into_iter().map(D::from).collect(), next)
}

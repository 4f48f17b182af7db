//! Blocks: whom the caller wants no direct messages with.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::StrictQuery;
use super::paging::{PageParams, cut, page_size, start_after};
use super::path::UserPath;
use super::problem::Problem;
use super::state::Shared;
use crate::chat::{Block, Caller, Chat};
use crate::model::cursor::KeyCursor;
use crate::model::{Millis, User, UserId};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(block, unblock))
}

/// Somebody whom the caller blocks.
#[derive(Serialize, ToSchema)]
#[schema(as = Block)]
pub(crate) struct BlockDto {
    user: User,
    /// Since when.
    created_at: Millis,
}

/// A page of those whom the caller blocks.
#[derive(Serialize, ToSchema)]
pub(crate) struct BlockList {
    /// In the order of user ids.
    blocks: Vec<BlockDto>,
    /// Leads on; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl From<Block> for BlockDto {
    fn from(block: Block) -> Self {
        Self { user: block.user, created_at: block.created_at }
    }
}

/// Lists whom I block
#[utoipa::path(
    get, path = "/v1/me/blocks", tag = "blocks", operation_id = "list_blocks",
    params(PageParams),
    security(("session_token" = [])),
    responses(
        (status = 200, description = "Whom the caller blocks.", body = BlockList),
        (status = 400, description = "The cursor is not of this list (`bad_cursor`)."),
    ),
)]
async fn list(
    State(chat): State<Chat>,
    caller: Caller,
    StrictQuery(page): StrictQuery<PageParams>,
) -> Result<Json<BlockList>, Problem> {
    let limit = page_size(page.limit)?;
    let owner = format!("blocks of {}", caller.user.user_id);
    let after = start_after(page.cursor.as_deref(), |text| UserId::parse(&KeyCursor::decode(text, &owner)?.0))?;
    let blocks = chat.blocks(&caller, after.as_ref(), limit as u64 + 1).await?;
    let (blocks, next_cursor) = cut(blocks, limit, |block| KeyCursor(block.user.user_id.to_string()).encode(&owner));
    Ok(Json(BlockList { blocks, next_cursor }))
}

/// Blocks a user
///
/// While either of two users blocks the other, their direct message takes no joins and no sends (403 `blocked`), from the
/// moment of this answer on; joins of it end, and streams say `left` with the reason `blocked`. Its history stays readable
/// for both. Rooms and groups are not touched. A repeat changes nothing. Nobody can block themselves (422).
#[utoipa::path(
    put, path = "/v1/me/blocks/{user_id}", tag = "blocks", operation_id = "block_user",
    params(UserPath),
    security(("session_token" = [])),
    responses(
        (status = 204, description = "Blocked."),
        (status = 404, description = "Nobody has been seen under this id (`not_found`)."),
    ),
)]
async fn block(State(chat): State<Chat>, caller: Caller, path: UserPath) -> Result<StatusCode, Problem> {
    chat.block(&caller, &path.user_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lifts a block
///
/// The direct message may be joined again, unless the other side blocks, too. Where there was no block, nothing happens.
#[utoipa::path(
    delete, path = "/v1/me/blocks/{user_id}", tag = "blocks", operation_id = "unblock_user",
    params(UserPath),
    security(("session_token" = [])),
    responses((status = 204, description = "Not blocked by the caller.")),
)]
async fn unblock(State(chat): State<Chat>, caller: Caller, path: UserPath) -> Result<StatusCode, Problem> {
    chat.unblock(&caller, &path.user_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

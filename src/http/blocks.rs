//! Blocks: the users with whom the caller wants no direct messages.

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

/// A user whom the caller blocks.
#[derive(Serialize, ToSchema)]
#[schema(as = Block)]
pub(crate) struct BlockDto {
    user: User,
    /// The time at which the caller blocked the user.
    created_at: Millis,
}

/// A page of the users whom the caller blocks.
#[derive(Serialize, ToSchema)]
pub(crate) struct BlockList {
    /// The blocked users, in the order of user ids.
    blocks: Vec<BlockDto>,
    /// The `cursor` of the next page; null if this page is the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl From<Block> for BlockDto {
    fn from(block: Block) -> Self {
        Self { user: block.user, created_at: block.created_at }
    }
}

/// Lists the users whom the caller blocks
#[utoipa::path(
    get, path = "/v1/me/blocks", tag = "blocks", operation_id = "list_blocks",
    params(PageParams),
    responses(
        (status = 200, description = "A page of the users whom the caller blocks.", body = BlockList),
        (status = 400, description = "The cursor is not from this list (`bad_cursor`)."),
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
/// While one of two users blocks the other, neither can join their direct message or send to it (403 `blocked`). This
/// begins with the response to this call: existing joins end, and streams get `left` with the reason `blocked`. Both users
/// can still read the history. Rooms and groups are not affected. Blocking a user again changes nothing. Users cannot
/// block themselves (422).
#[utoipa::path(
    put, path = "/v1/me/blocks/{user_id}", tag = "blocks", operation_id = "block_user",
    params(UserPath),
    responses(
        (status = 204, description = "The caller blocks the user."),
        (status = 404, description = "There is no user with this id (`not_found`)."),
    ),
)]
async fn block(State(chat): State<Chat>, caller: Caller, path: UserPath) -> Result<StatusCode, Problem> {
    chat.block(&caller, &path.user_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lifts a block
///
/// Both users can join the direct message again, unless the other user blocks the caller, too. If there was no block,
/// nothing changes.
#[utoipa::path(
    delete, path = "/v1/me/blocks/{user_id}", tag = "blocks", operation_id = "unblock_user",
    params(UserPath),
    responses((status = 204, description = "The caller does not block the user.")),
)]
async fn unblock(State(chat): State<Chat>, caller: Caller, path: UserPath) -> Result<StatusCode, Problem> {
    chat.unblock(&caller, &path.user_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#pragma once
// Memory of coroutine frames: per-thread free lists by size class, since a connection makes and drops a handful of
// frames and malloc would be the dearest part of it. Counts what is out, so that a test can bound the bytes that an
// idle connection holds.
// Thread: a frame is released on the thread that allocated it (a worker).
#include <cstddef>

namespace weir::io {

void* frame_allocate(size_t size);
void frame_release(void* memory, size_t size);
// What this thread keeps for its next frames goes back to malloc.
void frame_give_back();
// Bytes of frames alive on this thread.
size_t frame_bytes_alive();

}  // namespace weir::io

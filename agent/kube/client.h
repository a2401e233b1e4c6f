#pragma once
// Requests to the API server, on the agent's loop: libcurl's multi interface gives its descriptors and its one timer to
// the loop, so there is no thread. (A server named by a host name is resolved in a thread of libcurl's; in a cluster it
// is an address.)
//
// Concept: all requests share connections (HTTP/2 where the server has it), which live in a pool. A connection that has
// kept silent must not be used again, but with HTTP/2 libcurl would: so distrust_connections() begins a new pool, and
// the old one ends with its last request. The token file is read for each request, the CA file for each connection.
// Callbacks run on the loop, never inside a call of this class, and may call all of it, but not destroy it.
// Owner: the app or a command. Thread: the loop's. Lifetime: destroying it ends every request without a word.
// Source: libcurl-multi(3), CURLMOPT_SOCKETFUNCTION(3).
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/kube/client_options.h"
#include "agent/loop/loop.h"

namespace weir::agent::kube {

// Of whatever status: the caller knows which it expects. Errors are requests without an answer.
struct Answer {
  int status = 0;
  std::string body;
};

class Client {
 public:
  using Done = std::function<void(Result<Answer>)>;
  using RequestId = uint64_t;  // 0: none

  struct Stream {
    std::function<void()> opened;                // status 200 has come; may be empty
    std::function<void(std::string_view)> data;  // a part of its body
  };

  Client(Loop& loop, ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // `path` with its query, as "/api/v1/pods?limit=1". `content_type` and `body` empty: none.
  RequestId request(std::string method, std::string path, std::string content_type, std::string body,
                    Done done);
  RequestId get(std::string path, Done done) {
    return request("GET", std::move(path), "", "", std::move(done));
  }
  // A body of status 200 is handed on as it comes, for as long as it takes; `done` then has none. Any other status is
  // an answer like that of get().
  RequestId stream(std::string path, Stream stream, Done done);
  // Nothing is called for it any more. One that has ended, or 0, is welcome.
  void cancel(RequestId id);

  // What is under way goes on; what comes next makes a new connection.
  void distrust_connections();

  const ClientOptions& options() const { return options_; }
  // Bytes of bodies received, before decompression, as libcurl counts them: what the server sent.
  uint64_t bytes_received() const;

 private:
  struct Pool;
  struct Transfer;

  RequestId begin(std::unique_ptr<Transfer> transfer);
  Status prepare(Transfer& transfer);
  void turn(Pool& pool, int fd, int events);
  void collect(Pool& pool);
  void deliver(RequestId id);
  void finish(RequestId id);
  void release(std::unique_ptr<Transfer> transfer);
  void sweep();

  Loop& loop_;
  const ClientOptions options_;
  std::list<std::unique_ptr<Pool>> pools_;  // the last is for new requests
  std::map<RequestId, std::unique_ptr<Transfer>> transfers_;
  std::vector<std::unique_ptr<Transfer>> released_;  // whose callbacks may still be running
  RequestId next_id_ = 1;
  uint64_t bytes_received_ = 0;
  int turning_ = 0;
  Loop::TimerId failed_timer_ = 0;
};

}  // namespace weir::agent::kube

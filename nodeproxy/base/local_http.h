#pragma once
// A small HTTP/1.1 server for the administration of a process: metrics, health, status. Not for traffic, not for
// browsers, no TLS: a Unix socket for what is local only, and a TCP port for what a scraper may see.
//
// Concept: one thread with poll(2) over a bounded number of connections, each with a deadline; a request is a line,
// headers (8 KiB together) and, for POST, a body of at most 64 KiB. One answer per connection, then it is closed.
// Handlers run on the server's thread, one at a time: they must be quick or bounded, and take what they need under
// their own lock (or post to the process's loop and wait, bounded). A handler of Access::local is not found over TCP.
// Owner: the app. Lifetime: stop() (or the destructor) joins the thread; handlers are not called after it.
// Source of the grammar: RFC 9112 sections 2.2, 3, 5, 6; anything doubtful is answered 400 and closed.
#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/fd.h"
#include "nodeproxy/base/ip.h"

namespace weir {

struct HttpRequest {
  std::string method;  // "GET" or "POST"
  std::string path;    // without the query, not decoded
  std::string query;   // after '?', not decoded
  std::string body;

  // The value of `name` in the query ("level" in "level=debug&x=1"); empty when absent. Not percent-decoded.
  std::string_view query_value(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

class LocalHttp {
 public:
  enum class Access { local, anywhere };  // Unix sockets only, or TCP too
  using Handler = std::function<HttpResponse(const HttpRequest&)>;

  LocalHttp();
  ~LocalHttp();
  LocalHttp(const LocalHttp&) = delete;
  LocalHttp& operator=(const LocalHttp&) = delete;

  // Before start(). `method` is GET or POST; HEAD is answered by GET's handler.
  void on(std::string method, std::string path, Access access, Handler handler);
  // Before start(). Binds and listens; a stale socket file is replaced; one that somebody serves is not (EADDRINUSE)
  // unless this is to `take_over`. The file is born with `mode`. Errors: Source::local with the path in the detail.
  Status listen_unix(const std::string& path, unsigned mode = 0600, bool take_over = false);
  // Before start(). Port 0: any; see tcp_address().
  Status listen_tcp(const SocketAddress& address);
  SocketAddress tcp_address() const { return tcp_address_; }

  Status start();
  // Ends the thread, closes every connection, removes the socket file. Idempotent; not from a handler.
  void stop();

 private:
  struct Connection;
  struct Listener {
    Fd fd;
    Access access;
  };
  struct Route {
    Access access;
    Handler handler;
  };

  void serve();
  void accept_from(const Listener& listener, std::vector<Connection>& connections);
  bool advance(Connection& connection, short events);
  std::string answer(std::string_view head, std::string body, Access access) const;

  std::map<std::pair<std::string, std::string>, Route> routes_;  // by path and method
  std::vector<Listener> listeners_;
  std::string unix_path_;
  uint64_t unix_inode_ = 0;
  SocketAddress tcp_address_;
  Fd wake_;  // eventfd: stop
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace weir

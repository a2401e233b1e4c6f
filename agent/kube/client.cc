// libcurl on the loop. See client.h.
#include "agent/kube/client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "agent/loop/files.h"

namespace weir::agent::kube {
namespace {

// A peer that acknowledges nothing for this long is gone.
constexpr long kKeepIdle = 15, kKeepInterval = 5;  // seconds
constexpr int kKeepCount = 3, kUnacknowledged = 20'000;
constexpr size_t kRefusalBytesMax = 65536;  // of the body of a stream that was refused

Reason reason_of(CURLcode code, bool connected) {
  switch (code) {
    case CURLE_COULDNT_CONNECT: return Reason::refused;
    case CURLE_COULDNT_RESOLVE_HOST: return Reason::unreachable;
    case CURLE_OPERATION_TIMEDOUT: return connected ? Reason::request_timeout : Reason::connect_timeout;
    case CURLE_PEER_FAILED_VERIFICATION: return Reason::certificate_untrusted;
    case CURLE_SSL_CONNECT_ERROR: return Reason::handshake_failed;
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE: return Reason::bad_config;
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_PARTIAL_FILE: return Reason::server_reset;
    default: return Reason::io;
  }
}

int set_socket_options(void*, curl_socket_t fd, curlsocktype) {
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &kKeepCount, sizeof(kKeepCount));
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnacknowledged, sizeof(kUnacknowledged));
  return CURL_SOCKOPT_OK;
}

}  // namespace

// One multi handle with its connections.
struct Client::Pool {
  Client& client;
  CURLM* multi = ::curl_multi_init();
  std::map<int, short> watched;
  Loop::TimerId timer = 0;
  size_t transfers = 0;

  explicit Pool(Client& owner) : client(owner) {
    ::curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &Pool::on_socket);
    ::curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
    ::curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &Pool::on_timer);
    ::curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
  }
  ~Pool() {
    ::curl_multi_cleanup(multi);
    client.loop_.cancel(timer);
    for (const auto& [fd, events] : watched) client.loop_.unwatch(fd);
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  static int on_socket(CURL*, curl_socket_t fd, int what, void* self, void*) {
    auto& pool = *static_cast<Pool*>(self);
    if (what == CURL_POLL_REMOVE) {
      pool.client.loop_.unwatch(fd);
      pool.watched.erase(fd);
      return 0;
    }
    const auto events = static_cast<short>(((what & CURL_POLL_IN) != 0 ? POLLIN : 0) |
                                           ((what & CURL_POLL_OUT) != 0 ? POLLOUT : 0));
    if (pool.watched.insert_or_assign(fd, events).second) {
      pool.client.loop_.watch(fd, events, [&pool, fd](short seen) {
        const int bits = ((seen & (POLLIN | POLLHUP)) != 0 ? CURL_CSELECT_IN : 0) |
                         ((seen & POLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                         ((seen & (POLLERR | POLLNVAL)) != 0 ? CURL_CSELECT_ERR : 0);
        pool.client.turn(pool, fd, bits);
      });
    } else {
      pool.client.loop_.set_events(fd, events);
    }
    return 0;
  }

  static int on_timer(CURLM*, long wait_ms, void* self) {
    auto& pool = *static_cast<Pool*>(self);
    pool.client.loop_.cancel(std::exchange(pool.timer, 0));
    if (wait_ms < 0) return 0;
    pool.timer = pool.client.loop_.after(std::chrono::milliseconds(wait_ms), [&pool] {
      pool.timer = 0;
      pool.client.turn(pool, CURL_SOCKET_TIMEOUT, 0);
    });
    return 0;
  }
};

struct Client::Transfer {
  RequestId id = 0;
  std::string method, path, content_type, body;
  std::optional<Stream> stream;
  Done done;

  Pool* pool = nullptr;
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  char reason[CURL_ERROR_SIZE] = "";
  size_t answer_bytes_max = 0;
  Answer answer;
  std::string chunk;    // of the stream, not handed on yet
  bool opened = false;  // told
  bool too_large = false;
  std::optional<CURLcode> ended;
  std::optional<Error> error;  // it could not even begin

  ~Transfer() {
    if (easy != nullptr) {
      ::curl_multi_remove_handle(pool->multi, easy);
      ::curl_easy_cleanup(easy);
      --pool->transfers;
    }
    ::curl_slist_free_all(headers);
  }

  int status() const {
    long code = 0;
    ::curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    return static_cast<int>(code);
  }

  uint64_t bytes() const {
    curl_off_t count = 0;
    if (easy != nullptr) ::curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, &count);
    return static_cast<uint64_t>(count);
  }

  static size_t on_body(char* data, size_t one, size_t size, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    const bool streams = transfer.stream && transfer.status() == 200;
    std::string& into = streams ? transfer.chunk : transfer.answer.body;
    const size_t max = transfer.stream ? kRefusalBytesMax : transfer.answer_bytes_max;
    if (!streams && into.size() + size > max) {
      transfer.too_large = true;
      return 0;
    }
    into.append(data, size * one);
    return size * one;
  }

  Error failure(const ClientOptions& options) const {
    if (error) return *error;
    const std::string_view why = too_large         ? "the answer is too large"
                                 : *reason != '\0' ? std::string_view(reason)
                                                   : ::curl_easy_strerror(*ended);
    double connected = 0;
    long os_code = 0;
    ::curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME, &connected);
    ::curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_code);
    return fail(Source::agent, reason_of(*ended, connected > 0),
                fmt::format("{} {}{}: {}", method, options.server, path, why), static_cast<int>(os_code))
        .error();
  }
};

Client::Client(Loop& loop, ClientOptions options) : loop_(loop), options_(std::move(options)) {
  static const CURLcode ready = ::curl_global_init(CURL_GLOBAL_DEFAULT);
  static_cast<void>(ready);
  pools_.push_back(std::make_unique<Pool>(*this));
}

Client::~Client() {
  loop_.cancel(failed_timer_);
  transfers_.clear();
  released_.clear();
}

Client::RequestId Client::request(std::string method, std::string path, std::string content_type,
                                  std::string body, Done done) {
  auto transfer = std::make_unique<Transfer>();
  transfer->method = std::move(method);
  transfer->path = std::move(path);
  transfer->content_type = std::move(content_type);
  transfer->body = std::move(body);
  transfer->done = std::move(done);
  return begin(std::move(transfer));
}

Client::RequestId Client::stream(std::string path, Stream stream, Done done) {
  auto transfer = std::make_unique<Transfer>();
  transfer->method = "GET";
  transfer->path = std::move(path);
  transfer->stream = std::move(stream);
  transfer->done = std::move(done);
  return begin(std::move(transfer));
}

Client::RequestId Client::begin(std::unique_ptr<Transfer> transfer) {
  const RequestId id = transfer->id = next_id_++;
  Transfer& kept = *(transfers_[id] = std::move(transfer));
  if (auto ok = prepare(kept); !ok) {
    kept.error = ok.error();
    loop_.cancel(failed_timer_);
    failed_timer_ = loop_.after(std::chrono::milliseconds(0), [this] {
      failed_timer_ = 0;
      std::vector<RequestId> failed;
      for (const auto& [number, one] : transfers_) {
        if (one->error) failed.push_back(number);
      }
      for (const RequestId number : failed) finish(number);
    });
  }
  return id;
}

Status Client::prepare(Transfer& transfer) {
  const auto header = [&](const std::string& line) {
    transfer.headers = ::curl_slist_append(transfer.headers, line.c_str());
  };
  header("Accept: application/json");
  header("Expect:");
  if (!transfer.content_type.empty()) header("Content-Type: " + transfer.content_type);
  if (!options_.token_file.empty()) {
    auto token = read_small_file(options_.token_file);
    if (!token) {
      return fail(Source::agent, Reason::io,
                  fmt::format("{} {}{}: no token: {}", transfer.method, options_.server, transfer.path,
                              token.error().describe()),
                  token.error().os_code);
    }
    while (!token->empty() && (token->back() == '\n' || token->back() == '\r' || token->back() == ' ')) {
      token->pop_back();
    }
    header("Authorization: Bearer " + *token);
  }
  CURL* easy = transfer.easy = ::curl_easy_init();
  const auto set = [easy](CURLoption option, auto value) { ::curl_easy_setopt(easy, option, value); };
  set(CURLOPT_URL, (options_.server + transfer.path).c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_HTTPHEADER, transfer.headers);
  set(CURLOPT_USERAGENT, "weir/" WEIR_VERSION);
  set(CURLOPT_ACCEPT_ENCODING, "");  // lists come compressed
  set(CURLOPT_ERRORBUFFER, transfer.reason);
  set(CURLOPT_PRIVATE, &transfer);
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, &transfer);
  if (transfer.method != "GET") set(CURLOPT_CUSTOMREQUEST, transfer.method.c_str());
  if (!transfer.body.empty()) {
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(transfer.body.size()));
    set(CURLOPT_POSTFIELDS, transfer.body.c_str());
  }
  // HTTP/2: requests wait for the connection that is being made rather than making one each.
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  if (options_.server.starts_with("https")) set(CURLOPT_PIPEWAIT, 1L);
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_TCP_KEEPIDLE, kKeepIdle);
  set(CURLOPT_TCP_KEEPINTVL, kKeepInterval);
  set(CURLOPT_SOCKOPTFUNCTION, &set_socket_options);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
  if (!transfer.stream) set(CURLOPT_TIMEOUT_MS, static_cast<long>(options_.request_timeout.count()));
  // The CA file is read for each connection, and no session outlives the roots it was verified by.
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  set(CURLOPT_CA_CACHE_TIMEOUT, 0L);
  set(CURLOPT_SSL_SESSIONID_CACHE, 0L);
  if (!options_.ca_file.empty()) {
    set(CURLOPT_CAINFO, options_.ca_file.c_str());
    set(CURLOPT_CAPATH,
        static_cast<const char*>(nullptr));  // Debian's default: the system's roots beside ours
  }
  if (!options_.certificate_file.empty()) {
    set(CURLOPT_SSLCERT, options_.certificate_file.c_str());
    set(CURLOPT_SSLKEY, options_.key_file.c_str());
  }
  transfer.answer_bytes_max = options_.answer_bytes_max;
  transfer.pool = pools_.back().get();
  ++transfer.pool->transfers;
  ::curl_multi_add_handle(transfer.pool->multi, easy);
  return {};
}

void Client::cancel(RequestId id) {
  const auto found = transfers_.find(id);
  if (found == transfers_.end()) return;
  release(std::move(found->second));
  transfers_.erase(id);
  sweep();
}

// Its callbacks may be on the stack.
void Client::release(std::unique_ptr<Transfer> transfer) {
  bytes_received_ += transfer->bytes();
  if (turning_ > 0) released_.push_back(std::move(transfer));
}

void Client::distrust_connections() {
  if (pools_.back()->transfers == 0 && turning_ == 0) pools_.pop_back();
  pools_.push_back(std::make_unique<Pool>(*this));
}

// Pools that are not for new requests end with their last.
void Client::sweep() {
  if (turning_ > 0) return;
  released_.clear();
  for (auto pool = pools_.begin(); pool != std::prev(pools_.end());) {
    pool = (*pool)->transfers == 0 ? pools_.erase(pool) : std::next(pool);
  }
}

// libcurl forbids calls from inside its callbacks: these only note down, and what came is handed on here.
void Client::turn(Pool& pool, int fd, int events) {
  int running = 0;
  ++turning_;
  ::curl_multi_socket_action(pool.multi, fd, events, &running);
  collect(pool);
  --turning_;
  sweep();
}

void Client::collect(Pool& pool) {
  int left = 0;
  while (const CURLMsg* message = ::curl_multi_info_read(pool.multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    char* self = nullptr;
    ::curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &self);
    reinterpret_cast<Transfer*>(self)->ended = message->data.result;
  }
  std::vector<RequestId> news;
  for (const auto& [id, transfer] : transfers_) {
    if (transfer->pool != &pool || transfer->easy == nullptr) continue;
    const bool opens = transfer->stream && !transfer->opened && transfer->status() == 200;
    if (transfer->ended || opens || !transfer->chunk.empty()) news.push_back(id);
  }
  for (const RequestId id : news) deliver(id);
}

void Client::deliver(RequestId id) {
  const auto alive = [&]() -> Transfer* {  // each callback may cancel it, or anything else
    const auto found = transfers_.find(id);
    return found == transfers_.end() ? nullptr : found->second.get();
  };
  Transfer* transfer = alive();
  if (transfer == nullptr) return;
  if (transfer->stream && !transfer->opened && transfer->status() == 200) {
    transfer->opened = true;
    if (transfer->stream->opened) transfer->stream->opened();
    transfer = alive();
    if (transfer == nullptr) return;
  }
  if (!transfer->chunk.empty()) {
    const std::string chunk = std::exchange(transfer->chunk, {});
    transfer->stream->data(chunk);
    transfer = alive();
    if (transfer == nullptr) return;
  }
  if (transfer->ended) finish(id);
}

void Client::finish(RequestId id) {
  auto node = transfers_.extract(id);
  if (node.empty()) return;
  Transfer& transfer = *node.mapped();
  ++turning_;
  if (transfer.easy != nullptr) transfer.answer.status = transfer.status();
  if (transfer.ended == CURLE_OK) {
    transfer.done(std::move(transfer.answer));
  } else {
    transfer.done(std::unexpected(transfer.failure(options_)));
  }
  release(std::move(node.mapped()));
  --turning_;
  sweep();
}

uint64_t Client::bytes_received() const {
  uint64_t bytes = bytes_received_;
  for (const auto& [id, transfer] : transfers_) bytes += transfer->bytes();
  return bytes;
}

}  // namespace weir::agent::kube

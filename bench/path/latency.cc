// Open-loop HTTP/1.1 load at a fixed rate: what a request costs in time when nobody pushes the path to its limit.
//
// Request number i is due at start + i / rate, whatever became of the ones before it, and its latency counts from
// that moment. If every connection is still waiting for an answer, a due request waits here and its wait counts
// too: a closed loop would leave exactly those samples out ("coordinated omission").
//
// One thread, one epoll, keep-alive connections used in turn, answers told apart by Content-Length. A connection
// that breaks is counted and made anew. The result is one line of JSON on stdout, times in microseconds.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::duration;
using std::chrono::duration_cast;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr auto kGraceAfterEnd = seconds(3);  // for the last answers
constexpr auto kLateSend =
    nanoseconds(1000000);  // sent 1 ms after it was due: the generator, or the path, stalls

struct Plan {
  sockaddr_in server{};
  std::string request;
  double rate_per_s = 1000;
  std::size_t connections = 16;
  double warmup_s = 1;
  double measured_s = 5;
};

// One keep-alive connection: at most one request is under way on it.
struct Connection {
  int fd = -1;
  Clock::time_point due;
  bool waiting = false;
  std::string received;
};

// The length of the first whole answer in `bytes`; 0 if it is not complete, nothing if it is not a plain 200.
std::optional<std::size_t> answer_length(std::string_view bytes) {
  const auto header_end = bytes.find("\r\n\r\n");
  if (header_end == std::string_view::npos) return 0;
  if (!bytes.starts_with("HTTP/1.1 200")) return std::nullopt;
  constexpr std::string_view kName = "\r\nContent-Length:";
  for (std::size_t at = 0; at < header_end; ++at) {
    if (strncasecmp(bytes.data() + at, kName.data(), kName.size()) != 0) continue;
    const auto body = std::strtoul(bytes.data() + at + kName.size(), nullptr, 10);
    const auto whole = header_end + 4 + body;
    return bytes.size() >= whole ? whole : 0;
  }
  return std::nullopt;
}

class Generator {
 public:
  explicit Generator(const Plan& plan) : plan_(plan), epoll_(epoll_create1(EPOLL_CLOEXEC)) {}
  ~Generator() {
    for (auto& connection : connections_)
      if (connection.fd >= 0) close(connection.fd);
    close(epoll_);
  }
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  bool connect_all() {
    connections_.resize(plan_.connections);
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      if (!open(i)) return false;
      idle_.push_back(i);
    }
    return true;
  }

  void run() {
    const auto step = duration_cast<nanoseconds>(duration<double>(1 / plan_.rate_per_s));
    auto due = Clock::now() + nanoseconds(1000000);
    measure_from_ = due + duration_cast<nanoseconds>(duration<double>(plan_.warmup_s));
    const auto end = measure_from_ + duration_cast<nanoseconds>(duration<double>(plan_.measured_s));
    while (true) {
      auto now = Clock::now();
      for (; due <= now && due < end && !idle_.empty(); due += step, now = Clock::now()) send(due, now);
      if ((due >= end && waiting_ == 0) || now > end + kGraceAfterEnd) return;
      const bool next_is_a_send = due < end && !idle_.empty();
      wait(next_is_a_send ? std::max(nanoseconds(0), duration_cast<nanoseconds>(due - now))
                          : kLateSend * 200);
    }
  }

  void report() {
    std::sort(latencies_us_.begin(), latencies_us_.end());
    double sum = 0;
    for (const double us : latencies_us_) sum += us;
    const auto count = latencies_us_.size();
    std::printf("{\"n\":%zu,\"sent\":%zu,\"errors\":%zu,\"late_sends\":%zu,\"unfinished\":%zu,\"mean\":%.1f",
                count, sent_, errors_, late_sends_, waiting_,
                count > 0 ? sum / static_cast<double>(count) : -1.0);
    std::printf(",\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}\n", percentile(0.50),
                percentile(0.90), percentile(0.99), percentile(0.999), percentile(1));
  }

 private:
  bool open(std::size_t index) {
    auto& connection = connections_[index];
    connection = {};
    connection.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const timeval limit{5, 0};
    setsockopt(connection.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    const auto* address = reinterpret_cast<const sockaddr*>(&plan_.server);
    if (connect(connection.fd, address, sizeof plan_.server) != 0) return false;
    epoll_event interest{};
    interest.events = EPOLLIN;
    interest.data.u64 = index;
    return epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &interest) == 0;
  }

  void send(Clock::time_point due, Clock::time_point now) {
    const auto index = idle_.front();
    idle_.pop_front();
    auto& connection = connections_[index];
    connection.due = due;
    connection.waiting = true;
    ++waiting_;
    ++sent_;
    if (now - due > kLateSend) ++late_sends_;
    const auto size = static_cast<ssize_t>(plan_.request.size());
    if (::send(connection.fd, plan_.request.data(), plan_.request.size(), MSG_NOSIGNAL) != size)
      broken(index);
  }

  void wait(nanoseconds limit) {
    const auto whole = duration_cast<seconds>(limit);
    const timespec timeout{whole.count(), (limit - whole).count()};
    epoll_event ready[64];
    const int count = epoll_pwait2(epoll_, ready, 64, &timeout, nullptr);
    for (int i = 0; i < count; ++i) receive(ready[i].data.u64);
  }

  void receive(std::size_t index) {
    auto& connection = connections_[index];
    char bytes[16384];
    const auto got = recv(connection.fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return broken(index);
    connection.received.append(bytes, static_cast<std::size_t>(got));
    const auto whole = answer_length(connection.received);
    if (!whole || !connection.waiting) return broken(index);
    if (*whole == 0) return;
    const auto now = Clock::now();
    if (connection.due >= measure_from_)
      latencies_us_.push_back(duration<double, std::micro>(now - connection.due).count());
    connection.received.erase(0, *whole);
    connection.waiting = false;
    --waiting_;
    idle_.push_back(index);
  }

  void broken(std::size_t index) {
    ++errors_;
    if (connections_[index].waiting) --waiting_;
    close(connections_[index].fd);
    if (open(index)) idle_.push_back(index);
  }

  double percentile(double share) const {
    if (latencies_us_.empty()) return -1;
    const auto count = latencies_us_.size();
    return latencies_us_[std::min(count - 1, static_cast<std::size_t>(share * static_cast<double>(count)))];
  }

  const Plan& plan_;
  int epoll_;
  std::vector<Connection> connections_;
  std::deque<std::size_t> idle_;
  std::vector<double> latencies_us_;
  Clock::time_point measure_from_;
  std::size_t sent_ = 0, waiting_ = 0, errors_ = 0, late_sends_ = 0;
};

std::optional<Plan> plan_from(int count, char** words) {
  std::map<std::string, std::string> given;
  for (int i = 1; i + 1 < count; i += 2) given[words[i]] = words[i + 1];
  if (count % 2 == 0 || !given.contains("--address") || !given.contains("--port")) return std::nullopt;
  Plan plan;
  plan.server.sin_family = AF_INET;
  plan.server.sin_port = htons(static_cast<std::uint16_t>(std::atoi(given["--port"].c_str())));
  if (inet_pton(AF_INET, given["--address"].c_str(), &plan.server.sin_addr) != 1) return std::nullopt;
  if (given.contains("--rate")) plan.rate_per_s = std::atof(given["--rate"].c_str());
  if (given.contains("--connections"))
    plan.connections = std::strtoul(given["--connections"].c_str(), nullptr, 10);
  if (given.contains("--warmup")) plan.warmup_s = std::atof(given["--warmup"].c_str());
  if (given.contains("--seconds")) plan.measured_s = std::atof(given["--seconds"].c_str());
  plan.request = "GET / HTTP/1.1\r\nHost: origin\r\nUser-Agent: weir-bench\r\n\r\n";
  if (plan.rate_per_s <= 0 || plan.connections == 0) return std::nullopt;
  return plan;
}

}  // namespace

int main(int count, char** words) {
  const auto plan = plan_from(count, words);
  if (!plan) {
    std::fprintf(stderr,
                 "usage: bench_latency --address IPV4 --port N [--rate PER_S] [--connections N] [--warmup S] "
                 "[--seconds S]\n");
    return 2;
  }
  prctl(PR_SET_TIMERSLACK, 1UL);  // the default of 50 us would be most of what is measured
  Generator generator(*plan);
  if (!generator.connect_all()) {
    std::fprintf(stderr, "connect: %s\n", std::strerror(errno));
    return 1;
  }
  generator.run();
  generator.report();
  return 0;
}

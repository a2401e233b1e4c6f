// Framing with descriptors over a socket pair: partial reads and writes, limits, ends, and whose descriptors
// are whose.
#include "nodeproxy/base/message_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <random>

using namespace weir;

namespace {

std::pair<Fd, Fd> socket_pair() {
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

struct Ends {
  explicit Ends(size_t max = limits::config_message_max_bytes) {
    auto [left, right] = socket_pair();
    a = MessageSocket(std::move(left), max);
    b = MessageSocket(std::move(right), max);
  }
  MessageSocket a, b;
};

MessageSocket::Message must_receive(MessageSocket& socket) {
  auto got = socket.receive();
  REQUIRE(got.has_value());
  REQUIRE(got->has_value());
  return std::move(**got);
}

// A descriptor that can be told from others: a pipe with a byte in it.
Fd marked(char mark) {
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
  Fd write_end(fds[1]);
  REQUIRE(::write(write_end.get(), &mark, 1) == 1);
  return Fd(fds[0]);
}

char mark_of(const Fd& fd) {
  char mark = 0;
  REQUIRE(::read(fd.get(), &mark, 1) == 1);
  return mark;
}

struct TemporaryDirectory {
  TemporaryDirectory() {
    char name[] = "/tmp/weir-unit-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~TemporaryDirectory() {
    ::unlink((path + "/s").c_str());
    ::rmdir(path.c_str());
  }
  std::string path;
};

}  // namespace

TEST_CASE("messages arrive whole and in order, and an empty one is a message") {
  Ends ends;
  REQUIRE(ends.a.queue("one"));
  REQUIRE(ends.a.queue(""));
  REQUIRE(ends.a.queue("three"));
  REQUIRE(ends.a.flush().value());
  CHECK(must_receive(ends.b).bytes == "one");
  CHECK(must_receive(ends.b).bytes.empty());
  CHECK(must_receive(ends.b).bytes == "three");
  const auto nothing = ends.b.receive();
  REQUIRE(nothing.has_value());
  CHECK_FALSE(nothing->has_value());
}

TEST_CASE("a message larger than the socket's buffer goes in parts and never blocks") {
  Ends ends;
  std::mt19937 random(7);
  std::string large(5'000'000, '\0');
  for (char& c : large) c = static_cast<char>(random());
  REQUIRE(ends.a.queue(large));
  int rounds = 0;
  for (;;) {
    const bool done = ends.a.flush().value();
    if (!done) CHECK(ends.a.wants_write());
    auto got = ends.b.receive();
    REQUIRE(got.has_value());
    if (got->has_value()) {
      CHECK((*got)->bytes == large);
      break;
    }
    REQUIRE(++rounds < 100'000);
  }
  CHECK(rounds > 1);
  CHECK(ends.a.queued_bytes() == 0);
}

TEST_CASE("bytes that trickle in one by one make the same messages") {
  auto [raw, other] = socket_pair();
  MessageSocket reader(std::move(other), 100);
  const std::string wire("\0\0\0\3abc\0\0\0\0\0\0\0\1z", 16);
  std::vector<std::string> seen;
  for (const char byte : wire) {
    REQUIRE(::send(raw.get(), &byte, 1, 0) == 1);
    auto got = reader.receive();
    REQUIRE(got.has_value());
    if (got->has_value()) seen.push_back((*got)->bytes);
  }
  CHECK(seen == std::vector<std::string>{"abc", "", "z"});
}

TEST_CASE("descriptors belong to the message they were queued with, though all are sent before any is read") {
  Ends ends;
  const Fd x = marked('x'), y = marked('y'), z = marked('z');
  const int two[] = {x.get(), y.get()};
  const int one[] = {z.get()};
  REQUIRE(ends.a.queue("plain"));
  REQUIRE(ends.a.queue("two", two));
  REQUIRE(ends.a.queue("also plain"));
  REQUIRE(ends.a.queue("one", one));
  REQUIRE(ends.a.flush().value());
  CHECK(must_receive(ends.b).descriptors.empty());
  const auto with_two = must_receive(ends.b);
  REQUIRE(with_two.descriptors.size() == 2);
  CHECK(mark_of(with_two.descriptors[0]) == 'x');
  CHECK(mark_of(with_two.descriptors[1]) == 'y');
  CHECK((::fcntl(with_two.descriptors[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(must_receive(ends.b).descriptors.empty());
  const auto with_one = must_receive(ends.b);
  REQUIRE(with_one.descriptors.size() == 1);
  CHECK(mark_of(with_one.descriptors[0]) == 'z');
}

TEST_CASE("queued descriptors outlive the caller's own") {
  Ends ends;
  {
    const Fd mine = marked('m');
    const int fds[] = {mine.get()};
    REQUIRE(ends.a.queue("late", fds));
  }
  REQUIRE(ends.a.flush().value());
  CHECK(mark_of(must_receive(ends.b).descriptors.at(0)) == 'm');
}

TEST_CASE("descriptors go once, with a large message that needs many sends") {
  Ends ends;
  const Fd mine = marked('m');
  const int fds[] = {mine.get()};
  const std::string large(3'000'000, 'l');
  REQUIRE(ends.a.queue(large, fds));
  for (int round = 0; round < 100'000; ++round) {
    REQUIRE(ends.a.flush().has_value());
    auto got = ends.b.receive();
    REQUIRE(got.has_value());
    if (!got->has_value()) continue;
    CHECK((*got)->bytes.size() == large.size());
    REQUIRE((*got)->descriptors.size() == 1);
    CHECK(mark_of((*got)->descriptors[0]) == 'm');
    return;
  }
  FAIL("the message never came");
}

TEST_CASE(
    "as many descriptors as the kernel takes go in one message, and one more is refused before sending") {
  Ends ends;
  const Fd one = marked('1');
  std::vector<int> fds(MessageSocket::kDescriptorsMax, one.get());
  REQUIRE(ends.a.queue("many", fds));
  REQUIRE(ends.a.flush().value());
  CHECK(must_receive(ends.b).descriptors.size() == MessageSocket::kDescriptorsMax);
  fds.push_back(one.get());
  const auto refused = ends.a.queue("too many", fds);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().reason == Reason::overloaded);
  CHECK_FALSE(ends.a.wants_write());
}

TEST_CASE("a message above the limit is refused by the sender and ends the receiver") {
  Ends ends(16);
  CHECK(ends.a.queue(std::string(17, 'x')).error().reason == Reason::overloaded);
  const std::string wire("\0\0\0\x11", 4);
  REQUIRE(::send(ends.a.fd(), wire.data(), wire.size(), 0) == 4);
  const auto got = ends.b.receive();
  REQUIRE_FALSE(got.has_value());
  CHECK(got.error().reason == Reason::protocol_error);
}

TEST_CASE("a peer that does not read fills the queue up to its bound, not the memory") {
  Ends ends(1000);
  size_t queued = 0;
  while (ends.a.queue(std::string(100, 'x'))) ++queued;
  CHECK(queued >= 10);
  CHECK(queued <= 20);
  CHECK(ends.a.queued_bytes() <= 2200);
}

TEST_CASE("the end of the stream between messages and inside one are told apart") {
  SECTION("between") {
    Ends ends;
    REQUIRE(ends.a.queue("last"));
    REQUIRE(ends.a.flush().value());
    ends.a = MessageSocket();
    CHECK(must_receive(ends.b).bytes == "last");
    CHECK(ends.b.receive().error().reason == Reason::peer_lost);
  }
  SECTION("inside") {
    auto [raw, other] = socket_pair();
    MessageSocket reader(std::move(other));
    REQUIRE(::send(raw.get(), "\0\0\0\5ab", 6, 0) == 6);
    raw.reset();
    CHECK(reader.receive().error().reason == Reason::truncated);
  }
}

TEST_CASE("sending to a closed socket is an error, not a signal") {
  Ends ends;
  ends.b = MessageSocket();
  REQUIRE(ends.a.queue("nobody"));
  CHECK(ends.a.flush().error().reason == Reason::peer_lost);
}

TEST_CASE(
    "a listener replaces a dead one's file, respects a living one and other files, and lets only its user "
    "in") {
  TemporaryDirectory directory;
  const std::string path = directory.path + "/s";
  {
    auto first = listen_unix(path);
    REQUIRE(first.has_value());
    struct stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    const auto second = listen_unix(path);
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().os_code == EADDRINUSE);
  }
  auto again = listen_unix(path);
  REQUIRE(again.has_value());
  CHECK_FALSE(accept_unix(again->get()).value().has_value());
  auto client = connect_unix(path);
  REQUIRE(client.has_value());
  CHECK(accept_unix(again->get()).value().has_value());
  again->reset();
  CHECK(connect_unix(path).error().reason == Reason::refused);
  ::unlink(path.c_str());
  {
    Fd plain(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  }
  CHECK_FALSE(listen_unix(path).has_value());
  CHECK_FALSE(connect_unix(std::string(200, 'p')).has_value());
}

// The administration server over its sockets: what is answered, what is refused, what may be reached from where.
#include "nodeproxy/base/local_http.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "nodeproxy/base/message_socket.h"

using namespace weir;

namespace {

struct Server {
  std::string path =
      (std::filesystem::temp_directory_path() / ("weir-http-" + std::to_string(::getpid()))).string();
  LocalHttp http;

  Server() {
    using Access = LocalHttp::Access;
    http.on("GET", "/open", Access::anywhere, [](const HttpRequest& request) {
      return HttpResponse{.body = "query=" + request.query +
                                  " level=" + std::string(request.query_value("level"))};
    });
    http.on("GET", "/secret", Access::local, [](const HttpRequest&) { return HttpResponse{.body = "s3"}; });
    http.on("POST", "/echo", Access::local,
            [](const HttpRequest& request) { return HttpResponse{.status = 202, .body = request.body}; });
    http.on("GET", "/big", Access::local,
            [](const HttpRequest&) { return HttpResponse{.body = std::string(8 << 20, 'x')}; });
    REQUIRE(http.listen_unix(path));
    REQUIRE(http.listen_tcp(*SocketAddress::parse("127.0.0.1:0")));
    REQUIRE(http.start());
  }
  Fd connect(bool tcp) const {
    if (!tcp) {
      auto fd = connect_unix(path);
      REQUIRE(fd);
      ::fcntl(fd->get(), F_SETFL, 0);
      return std::move(*fd);
    }
    sockaddr_storage address;
    const socklen_t length = http.tcp_address().to_sockaddr(address);
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    return fd;
  }
  static std::string rest(const Fd& fd) {
    const timeval wait{5, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    std::string answer;
    char buffer[65536];
    for (ssize_t got = 0; (got = ::recv(fd.get(), buffer, sizeof(buffer), 0)) > 0;)
      answer.append(buffer, static_cast<size_t>(got));
    return answer;
  }
  std::string ask(const std::string& request, bool tcp = false) const {
    const Fd fd = connect(tcp);
    REQUIRE(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) > 0);
    return rest(fd);
  }
  std::string get(const std::string& target, bool tcp = false) const {
    return ask("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n", tcp);
  }
};

bool is(const std::string& answer, int status) {
  return answer.starts_with("HTTP/1.1 " + std::to_string(status) + " ");
}

}  // namespace

TEST_CASE("a handler is found by path and method, with its query") {
  const Server server;
  const auto answer = server.get("/open?x=1&level=debug");
  CHECK(is(answer, 200));
  CHECK_THAT(answer, Catch::EndsWith("\r\n\r\nquery=x=1&level=debug level=debug"));
  CHECK_THAT(answer, Catch::Contains("Content-Length: 33\r\n"));
  CHECK(is(server.get("/nowhere"), 404));
  CHECK(is(server.get("/echo"), 405));
  const auto head = server.ask("HEAD /open HTTP/1.1\r\n\r\n");
  CHECK(is(head, 200));
  CHECK_THAT(head, Catch::EndsWith("\r\n\r\n"));
}

TEST_CASE("what is local is not there over TCP") {
  const Server server;
  CHECK(is(server.get("/open", true), 200));
  CHECK(is(server.get("/secret", false), 200));
  CHECK(is(server.get("/secret", true), 404));
  CHECK(is(server.ask("POST /echo HTTP/1.1\r\nContent-Length: 0\r\n\r\n", true), 404));
}

TEST_CASE("a body is taken in parts, up to its bound") {
  const Server server;
  const Fd fd = server.connect(false);
  for (const std::string part : {"POST /ec", "ho HTTP/1.1\r\ncontent-LENGTH:  6\r", "\n\r\nab", "cdef"}) {
    REQUIRE(::send(fd.get(), part.data(), part.size(), MSG_NOSIGNAL) > 0);
    ::usleep(20'000);
  }
  const auto answer = Server::rest(fd);
  CHECK(is(answer, 202));
  CHECK_THAT(answer, Catch::EndsWith("\r\n\r\nabcdef"));
  CHECK(is(server.ask("POST /echo HTTP/1.1\r\nContent-Length: 65537\r\n\r\n"), 413));
}

TEST_CASE("whatever is doubtful is refused") {
  const Server server;
  for (const std::string request :
       {"GET /open\r\n\r\n", "GET  HTTP/1.1\r\n\r\n", "GET open HTTP/1.1\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n", "\r\n\r\n", "GET /open FTP/1.1\r\n\r\n",
        "POST /echo HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST /echo HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /open HTTP/1.1\r\nno colon\r\n\r\n", "GET /open HTTP/1.1\r\nA: b\r\n folded\r\n\r\n"}) {
    CAPTURE(request);
    CHECK(is(server.ask(request), 400));
  }
  CHECK(is(server.ask("GET /open HTTP/1.1\r\nA: " + std::string(9000, 'a') + "\r\n\r\n"), 431));
}

TEST_CASE("a client that is silent, or reads slowly, keeps nobody waiting") {
  const Server server;
  std::vector<Fd> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(server.connect(i % 2 == 0));
  const Fd slow = server.connect(false);
  const std::string request = "GET /big HTTP/1.1\r\n\r\n";
  REQUIRE(::send(slow.get(), request.data(), request.size(), MSG_NOSIGNAL) > 0);
  ::usleep(20'000);
  CHECK(is(server.get("/open"), 200));
  CHECK(Server::rest(slow).size() > (8 << 20));
}

TEST_CASE("the socket file is private, replaced when stale, refused when served, and removed at the end") {
  std::string path;
  {
    const Server server;
    path = server.path;
    struct stat found{};
    REQUIRE(::stat(path.c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0600);
    LocalHttp second;
    const auto refused = second.listen_unix(path);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().os_code == EADDRINUSE);
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a successor takes the socket file over, and its predecessor leaves it alone") {
  std::string path;
  LocalHttp second;
  {
    const Server first;
    path = first.path;
    REQUIRE(second.listen_unix(path, 0600, true));
    REQUIRE(second.start());
  }
  CHECK(connect_unix(path).has_value());
  second.stop();
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("what is no socket is not taken over") {
  const std::string path = "/tmp/weir-local-http-test-file-" + std::to_string(::getpid());
  std::ofstream(path) << "precious";
  LocalHttp http;
  CHECK_FALSE(http.listen_unix(path, 0600, true));
  CHECK(std::filesystem::file_size(path) == 8);
  std::filesystem::remove(path);
}

// The client over real sockets: answers, streams, what goes wrong, tokens, and connections.
#include "agent/kube/client.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "tests/unit/kube/fake_server.h"

using namespace weir;
using namespace weir::agent;
using kube::Answer;
using kube::Client;
using kube::ClientOptions;

namespace {

struct Fixture {
  Loop loop;
  std::deque<FakeServer::Request> requests;
  FakeServer server{loop, [this](const FakeServer::Request& request) { requests.push_back(request); }};
  ClientOptions options;
  std::filesystem::path token =
      std::filesystem::temp_directory_path() / ("weir-token-" + std::to_string(::getpid()));
  std::optional<Client> client;
  std::optional<Result<Answer>> answer;

  Fixture() { options.server = server.url(); }
  ~Fixture() {
    client.reset();
    std::filesystem::remove(token);
  }
  void start() { client.emplace(loop, options); }
  Client::Done keep() {
    return [this](Result<Answer> result) { answer = std::move(result); };
  }
  void write_token(const std::string& text) const { std::ofstream(token) << text << "\n"; }
  void until_requests(size_t count) {
    turn_until(loop, [&] { return requests.size() == count; });
  }
  Result<Answer> wait() {
    turn_until(loop, [&] { return answer.has_value(); });
    return *std::exchange(answer, std::nullopt);
  }
};

}  // namespace

TEST_CASE("an answer of whatever status is handed on with its body, and connections are kept") {
  Fixture f;
  f.start();
  f.client->get("/api/v1/pods?limit=1", f.keep());
  CHECK_FALSE(f.answer.has_value());
  f.until_requests(1);
  CHECK(f.requests[0].method == "GET");
  CHECK(f.requests[0].path == "/api/v1/pods");
  CHECK(f.requests[0].query == "limit=1");
  CHECK(f.requests[0].header("Accept") == "application/json");
  CHECK(f.requests[0].header("Authorization").empty());
  f.requests[0].answer(404, "no such thing");
  auto answer = f.wait();
  REQUIRE(answer.has_value());
  CHECK(answer->status == 404);
  CHECK(answer->body == "no such thing");

  f.client->request("PATCH", "/x", "application/merge-patch+json", R"({"a":null})", f.keep());
  f.until_requests(2);
  CHECK(f.requests[1].method == "PATCH");
  CHECK(f.requests[1].header("Content-Type") == "application/merge-patch+json");
  CHECK(f.requests[1].body == R"({"a":null})");
  f.requests[1].answer(200, "{}");
  CHECK(f.wait()->status == 200);
  CHECK(f.server.accepted() == 1);
  CHECK(f.client->bytes_received() == 15);
}

TEST_CASE("a stream is handed on as it comes, and its end is told") {
  Fixture f;
  f.start();
  std::string got;
  bool opened = false;
  f.client->stream("/watch", {[&] { opened = true; }, [&](std::string_view data) { got += data; }}, f.keep());
  f.until_requests(1);
  f.requests[0].begin_stream();
  turn_until(f.loop, [&] { return opened; });
  CHECK(got.empty());
  f.requests[0].chunk("one");
  turn_until(f.loop, [&] { return got == "one"; });
  CHECK_FALSE(f.answer.has_value());
  f.requests[0].chunk("two");
  turn_until(f.loop, [&] { return got == "onetwo"; });
  f.requests[0].end_stream();
  CHECK(f.wait()->status == 200);
}

TEST_CASE("a stream that is refused is an answer, and one that is cut an error after what came") {
  Fixture f;
  f.start();
  std::string got;
  const auto data = [&](std::string_view part) { got += part; };
  f.client->stream("/watch", {nullptr, data}, f.keep());
  f.until_requests(1);
  f.requests[0].answer(410, "too old");
  auto answer = f.wait();
  REQUIRE(answer.has_value());
  CHECK(answer->status == 410);
  CHECK(answer->body == "too old");
  CHECK(got.empty());

  f.client->stream("/watch", {nullptr, data}, f.keep());
  f.until_requests(2);
  f.requests[1].begin_stream();
  f.requests[1].chunk("part");
  turn_until(f.loop, [&] { return got == "part"; });
  f.server.cut();
  const auto cut = f.wait();
  REQUIRE_FALSE(cut.has_value());
  CHECK(cut.error().reason == Reason::server_reset);
}

TEST_CASE("a request that was cancelled is told nothing, from inside a callback too") {
  Fixture f;
  f.start();
  int parts = 0;
  Client::RequestId id = 0;
  id = f.client->stream("/watch",
                        {nullptr,
                         [&](std::string_view) {
                           ++parts;
                           f.client->cancel(id);
                         }},
                        f.keep());
  f.until_requests(1);
  f.requests[0].begin_stream();
  f.requests[0].chunk("one");
  turn_until(f.loop, [&] { return parts == 1; });
  turn_until(f.loop, [&] { return !f.requests[0].open(); });
  CHECK_FALSE(f.answer.has_value());
  f.client->cancel(f.client->get("/x", f.keep()));
  turn_for(f.loop, 30);
  CHECK_FALSE(f.answer.has_value());
  f.client->cancel(id);
  f.client->cancel(0);
}

TEST_CASE("errors name the URL and the reason") {
  Fixture f;
  f.options.request_timeout = std::chrono::milliseconds(80);
  f.options.answer_bytes_max = 10;
  f.start();
  f.client->get("/slow", f.keep());
  auto answer = f.wait();
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().reason == Reason::request_timeout);
  CHECK_THAT(answer.error().describe(), Catch::Contains("GET " + f.server.url() + "/slow"));

  f.client->get("/large", f.keep());
  f.until_requests(2);
  f.requests[1].answer(200, "more than ten bytes");
  answer = f.wait();
  REQUIRE_FALSE(answer.has_value());
  CHECK_THAT(answer.error().describe(), Catch::Contains("too large"));

  f.server.stop();
  f.client->get("/gone", f.keep());
  answer = f.wait();
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().reason == Reason::refused);
}

TEST_CASE("the token file is read for each request, and none is sent without it") {
  Fixture f;
  f.options.token_file = f.token;
  f.write_token("first");
  f.start();
  f.client->get("/x", f.keep());
  f.until_requests(1);
  CHECK(f.requests[0].header("Authorization") == "Bearer first");
  f.requests[0].answer(401, "");
  CHECK(f.wait()->status == 401);
  f.write_token("second");
  f.client->get("/x", f.keep());
  f.until_requests(2);
  CHECK(f.requests[1].header("Authorization") == "Bearer second");
  f.requests[1].answer(200, "");
  CHECK(f.wait()->status == 200);
  std::filesystem::remove(f.token);
  f.client->get("/x", f.keep());
  CHECK_FALSE(f.answer.has_value());  // never from inside the call
  const auto answer = f.wait();
  REQUIRE_FALSE(answer.has_value());
  CHECK_THAT(answer.error().describe(), Catch::Contains(f.token.string()));
  CHECK(f.requests.size() == 2);
}

TEST_CASE("a connection that is distrusted is used by nothing new, and what it carries goes on") {
  Fixture f;
  f.start();
  std::string got;
  f.client->stream("/watch", {nullptr, [&](std::string_view data) { got += data; }}, f.keep());
  f.client->get("/x", [](Result<Answer>) {});
  f.until_requests(2);
  const auto& second = f.requests[1];
  second.answer(200, "");
  f.requests[0].begin_stream();
  turn_for(f.loop, 20);
  const size_t before = f.server.accepted();
  f.client->distrust_connections();
  f.client->get("/y", f.keep());
  f.until_requests(3);
  CHECK(f.server.accepted() == before + 1);
  f.requests[2].answer(200, "");
  CHECK(f.wait()->status == 200);
  f.requests[0].chunk("still");
  turn_until(f.loop, [&] { return got == "still"; });
}

TEST_CASE("options that cannot work are refused with what is wrong") {
  ClientOptions options;
  const auto why = [&] {
    const auto checked = options.check();
    return checked ? std::string() : checked.error().describe();
  };
  CHECK_THAT(why(), Catch::Contains("no https:// URL"));
  options.server = "http://10.0.0.1:8080";
  CHECK_THAT(why(), Catch::Contains("https:// only"));
  options.server = "http://127.0.0.1:8080";
  CHECK(why().empty());
  options.server = "https://10.0.0.1:6443/";
  CHECK_THAT(why(), Catch::Contains("slash"));
  options.server = "https://10.0.0.1:6443";
  CHECK(why().empty());
  options.ca_file = "/nowhere/ca.crt";
  CHECK_THAT(why(), Catch::Contains("/nowhere/ca.crt"));
  options.ca_file = "/dev/null";
  options.key_file = "/dev/null";
  CHECK_THAT(why(), Catch::Contains("needs its key"));
}

TEST_CASE("in a pod the API server is found by environment, IPv6 in brackets") {
  ::unsetenv("KUBERNETES_SERVICE_HOST");
  CHECK_FALSE(ClientOptions::in_cluster().has_value());
  ::setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1", 1);
  ::setenv("KUBERNETES_SERVICE_PORT", "443", 1);
  CHECK(ClientOptions::in_cluster()->server == "https://10.96.0.1:443");
  ::setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
  CHECK(ClientOptions::in_cluster()->server == "https://[fd00::1]:443");
  CHECK(ClientOptions::in_cluster()->token_file == "/var/run/secrets/kubernetes.io/serviceaccount/token");
  ::unsetenv("KUBERNETES_SERVICE_HOST");
}

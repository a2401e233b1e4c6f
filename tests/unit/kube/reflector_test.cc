// The reflector against an API server whose every word the test says.
#include "agent/kube/reflector.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "tests/unit/kube/fake_server.h"

using namespace weir;
using namespace weir::agent;
using kube::Client;
using kube::ClientOptions;
using kube::Reflector;
using Json = nlohmann::json;

namespace {

Json pod(const std::string& name, const std::string& version) {
  return {{"metadata",
           {{"name", name}, {"namespace", "shop"}, {"uid", "u-" + name}, {"resourceVersion", version}}}};
}
std::string event(const std::string& type, const Json& object) {
  return Json{{"type", type}, {"object", object}}.dump() + "\n";
}
std::string bookmark(const std::string& version, bool end_of_list = false) {
  Json object{{"metadata", {{"resourceVersion", version}}}};
  if (end_of_list) object["metadata"]["annotations"] = {{"k8s.io/initial-events-end", "true"}};
  return event("BOOKMARK", object);
}
std::string error(int code) {
  return event("ERROR", {{"kind", "Status"}, {"code", code}, {"message", "no"}});
}
std::string list(const std::vector<Json>& items, const std::string& version, const std::string& token = "") {
  return Json{{"metadata", {{"resourceVersion", version}, {"continue", token}}}, {"items", items}}.dump();
}
const std::string kInvalid = R"({"kind":"Status","code":422,"message":"sendInitialEvents is forbidden"})";

struct Fixture {
  Loop loop;
  std::deque<FakeServer::Request> requests;
  FakeServer server{loop, [this](const FakeServer::Request& request) { requests.push_back(request); }};
  std::optional<Client> client;
  std::optional<Reflector> reflector;
  Reflector::Options options;
  kube::Resource resource{"Pod", "v1", "/api/v1/pods", "", "", true};
  std::string told;
  size_t seen = 0;

  Fixture() {
    options.backoff_first = std::chrono::milliseconds(10);
    options.backoff_max = options.missing_retry = std::chrono::milliseconds(40);
    options.short_life = std::chrono::milliseconds(0);
  }
  void start() {
    ClientOptions to;
    to.server = server.url();
    client.emplace(loop, to);
    Reflector::Handlers handlers;
    handlers.changed = [this](const Json& object) {
      CHECK(object["kind"] == resource.kind);
      CHECK(object["apiVersion"] == resource.api_version);
      told += "+" + object["metadata"]["name"].get<std::string>() + " ";
    };
    handlers.gone = [this](const ObjectName& name) { told += "-" + name.text() + " "; };
    handlers.listed = [this] { told += "listed "; };
    reflector.emplace(loop, *client, resource, handlers, options);
    reflector->start();
  }
  const FakeServer::Request& next() {
    turn_until(loop, [&] { return requests.size() > seen; });
    return requests[seen++];
  }
  // A streaming list that has ended, and goes on as a watch.
  const FakeServer::Request& listed(const std::vector<Json>& items, const std::string& version) {
    const auto& stream = next();
    CHECK_THAT(stream.query, Catch::Contains("sendInitialEvents=true"));
    stream.begin_stream();
    for (const auto& item : items) stream.chunk(event("ADDED", item));
    stream.chunk(bookmark(version, true));
    turn_until(loop, [&] { return reflector->status().lists > 0 && reflector->status().connected; });
    return stream;
  }
  std::string what() {
    turn_for(loop, 20);
    return std::exchange(told, {});
  }
  void expect(const std::string& expected) {
    turn_until(loop, [&] { return told.size() >= expected.size(); });
    CHECK(what() == expected);
  }
};

}  // namespace

TEST_CASE("a streaming list tells what there is, then each kind of event") {
  Fixture f;
  f.start();
  const auto& stream = f.next();
  CHECK(stream.path == "/api/v1/pods");
  for (const char* part : {"watch=1", "sendInitialEvents=true", "resourceVersionMatch=NotOlderThan",
                           "allowWatchBookmarks=true", "timeoutSeconds="}) {
    CHECK_THAT(stream.query, Catch::Contains(part));
  }
  CHECK(stream.query.find("resourceVersion=") == std::string::npos);  // the newest there is
  stream.begin_stream();
  const std::string a = event("ADDED", pod("a", "3"));
  stream.chunk(a.substr(0, 20));
  stream.chunk(a.substr(20) + event("ADDED", pod("b", "2")));
  f.expect("+a +b ");
  CHECK_FALSE(f.reflector->status().listed);
  stream.chunk(bookmark("10", true));
  f.expect("listed ");
  CHECK(f.reflector->status().connected);
  stream.chunk(event("MODIFIED", pod("a", "11")) + event("ADDED", pod("c", "12")) +
               event("DELETED", pod("b", "13")) + bookmark("20"));
  f.expect("+a +c -shop/b ");
  CHECK(f.reflector->status().objects == 2);

  stream.end_stream();
  const auto& again = f.next();
  CHECK_THAT(again.query, Catch::Contains("&resourceVersion=20") && !Catch::Contains("sendInitialEvents"));
  CHECK(f.reflector->status().connected);
  CHECK(f.what().empty());
}

TEST_CASE("a watch that is cut resumes where it was, and nothing is told twice") {
  Fixture f;
  f.start();
  const auto& stream = f.listed({pod("a", "1")}, "5");
  stream.chunk(event("MODIFIED", pod("a", "7")));
  f.expect("+a listed +a ");
  f.server.cut();
  turn_until(f.loop, [&] { return !f.reflector->status().connected; });
  CHECK_FALSE(f.reflector->status().error.empty());
  CHECK(f.reflector->status().listed);
  const auto& again = f.next();
  CHECK_THAT(again.query, Catch::Contains("resourceVersion=7"));
  again.begin_stream();
  turn_until(f.loop, [&] { return f.reflector->status().connected; });
  CHECK(f.reflector->status().error.empty());
  CHECK(f.what().empty());
}

TEST_CASE("a server that is away for long is asked ever more rarely, and the state stays") {
  Fixture f;
  f.options.backoff_first = std::chrono::milliseconds(4);
  f.options.backoff_max = std::chrono::milliseconds(64);
  f.start();
  f.listed({pod("a", "1")}, "5");
  f.what();
  const uint16_t port = f.server.port();
  f.server.stop();
  turn_for(f.loop, 400);
  const auto tries = f.reflector->status().failures;
  CHECK(tries >= 6);  // at 64 ms at most, and half of that at least
  CHECK(tries <= 22);
  CHECK(f.reflector->status().objects == 1);
  CHECK(f.what().empty());
  f.server.listen(port);
  const auto& again = f.next();
  CHECK_THAT(again.query, Catch::Contains("resourceVersion=5"));
}

TEST_CASE("410 as a status and as an event: all is listed anew, and only the difference is told") {
  const bool as_event = GENERATE(false, true);
  Fixture f;
  f.start();
  const auto& stream = f.listed({pod("a", "1"), pod("b", "2"), pod("c", "3")}, "5");
  f.expect("+a +b +c listed ");
  if (as_event) {
    stream.chunk(error(410));
  } else {
    stream.end_stream();
    f.next().answer(410, "");
  }
  const auto& anew = f.next();
  CHECK_THAT(anew.query, Catch::Contains("sendInitialEvents=true"));
  anew.begin_stream();
  anew.chunk(event("ADDED", pod("a", "1")) + event("ADDED", pod("b", "9")) + event("ADDED", pod("d", "8")));
  f.expect("+b +d ");
  CHECK(f.reflector->status().objects == 4);  // c may still come
  anew.chunk(bookmark("10", true));
  f.expect("-shop/c ");
  CHECK(f.reflector->status().lists == 2);
}

TEST_CASE("an object made anew under its name is told, also when its version is the same") {
  Fixture f;
  f.start();
  const auto& stream = f.listed({pod("a", "1")}, "5");
  f.expect("+a listed ");
  auto other = pod("a", "1");
  other["metadata"]["uid"] = "another";
  stream.chunk(event("ADDED", other));
  f.expect("+a ");
}

TEST_CASE("where streaming lists are refused, pages are read to their end, then a watch begins") {
  const int status = GENERATE(400, 422);
  Fixture f;
  f.options.page = 2;
  f.start();
  f.next().answer(status, kInvalid);
  const auto& first = f.next();
  CHECK(first.query == "limit=2");
  first.answer(200, list({pod("a", "1"), pod("b", "2")}, "9", "t/1="));
  const auto& second = f.next();
  CHECK(second.query == "limit=2&continue=t%2F1%3D");
  CHECK_FALSE(f.reflector->status().listed);
  second.answer(200, list({pod("c", "3")}, "9"));
  const auto& watch = f.next();
  CHECK_THAT(watch.query, Catch::Contains("&resourceVersion=9") && Catch::Contains("watch=1"));
  CHECK(f.what() == "+a +b +c listed ");
  CHECK(f.reflector->status().failures == 0);
}

TEST_CASE("a continue token that expires: everything at once, without a page to lose") {
  Fixture f;
  f.options.page = 1;
  f.start();
  f.next().answer(422, kInvalid);
  f.next().answer(200, list({pod("a", "1")}, "9", "t"));
  f.next().answer(410, R"({"code":410,"reason":"Expired"})");
  const auto& whole = f.next();
  CHECK(whole.query == "limit=0");
  whole.answer(200, list({pod("a", "1"), pod("b", "11")}, "12"));
  CHECK_THAT(f.next().query, Catch::Contains("resourceVersion=12"));
  CHECK(f.what() == "+a +b listed ");
}

TEST_CASE("a streaming list that ends before its end is told is followed by pages") {
  Fixture f;
  f.start();
  const auto& stream = f.next();
  stream.begin_stream();
  stream.chunk(event("ADDED", pod("a", "1")));
  stream.end_stream();
  CHECK_THAT(f.next().query, Catch::StartsWith("limit="));
  CHECK(f.what() == "+a ");
}

TEST_CASE("an empty list where there were objects is believed only after a second read") {
  Fixture f;
  f.start();
  const auto& stream = f.listed({pod("a", "1"), pod("b", "2")}, "5");
  f.what();
  stream.chunk(error(410));
  const auto& anew = f.next();
  anew.begin_stream();
  anew.chunk(bookmark("1", true));
  const auto& doubt = f.next();
  CHECK(doubt.query == "limit=1");
  CHECK(f.reflector->status().holding);
  CHECK(f.reflector->status().objects == 2);
  CHECK(f.what().empty());

  SECTION("which says so too") {
    doubt.answer(200, list({}, "30"));
    CHECK_THAT(f.next().query, Catch::Contains("resourceVersion=30"));
    CHECK(f.what() == "-shop/a -shop/b ");
    CHECK_FALSE(f.reflector->status().holding);
  }
  SECTION("which finds some: everything is listed again, and nothing was lost") {
    doubt.answer(200, list({pod("a", "1")}, "30", "more"));
    const auto& third = f.next();
    CHECK_THAT(third.query, Catch::Contains("sendInitialEvents"));
    third.begin_stream();
    third.chunk(event("ADDED", pod("a", "1")) + event("ADDED", pod("b", "2")) + bookmark("31", true));
    turn_until(f.loop, [&] { return f.reflector->status().connected; });
    CHECK(f.what().empty());
  }
  SECTION("which does not come: it is asked again") {
    f.server.cut();
    const auto& third = f.next();
    third.begin_stream();
    third.chunk(bookmark("31", true));
    CHECK(f.next().query == "limit=1");
    CHECK(f.what().empty());
    CHECK(f.reflector->status().objects == 2);
  }
  CHECK(f.reflector->status().empty_lists >= 1);
}

TEST_CASE("the first list may be empty, and is believed") {
  Fixture f;
  f.start();
  f.listed({}, "5");
  CHECK(f.what() == "listed ");
  CHECK(f.reflector->status().empty_lists == 0);
}

TEST_CASE(
    "an ERROR event that is no 410, an unknown event and what is no JSON are failures; the watch resumes") {
  Fixture f;
  f.start();
  const auto& stream = f.listed({pod("a", "1")}, "5");
  f.what();
  stream.chunk(
      GENERATE(as<std::string>(), error(500), event("RENAMED", pod("a", "6")), "no json\n", "{}\n", "[1]\n"));
  const auto& again = f.next();
  CHECK_THAT(again.query, Catch::Contains("resourceVersion=5"));
  CHECK(f.reflector->status().failures == 1);
  turn_until(f.loop, [&] { return !stream.open(); });  // the old stream is given up
  CHECK(f.what().empty());
}

TEST_CASE("a watch that ends as soon as it begins is a failure, with its back-off") {
  Fixture f;
  f.options.short_life = std::chrono::milliseconds(1000);
  f.start();
  f.listed({pod("a", "1")}, "5").end_stream();
  for (int i = 0; i < 3; ++i) {
    const auto& stream = f.next();
    stream.begin_stream();
    stream.end_stream();
  }
  f.next();
  CHECK(f.reflector->status().failures == 3);
}

TEST_CASE("a kind that is not installed is asked for again; one that can be spared counts as listed") {
  Fixture f;
  f.resource.indispensable = GENERATE(false, true);
  f.start();
  f.next().answer(404, "");
  turn_until(f.loop, [&] { return f.reflector->status().missing; });
  CHECK(f.what() == (f.resource.indispensable ? "" : "listed "));
  CHECK_THAT(f.reflector->status().error, Catch::Contains("/api/v1/pods"));
  f.listed({pod("a", "1")}, "5");
  CHECK(f.what() == (f.resource.indispensable ? "+a listed " : "+a "));
  CHECK_FALSE(f.reflector->status().missing);
}

TEST_CASE("a kind that goes takes its objects along when it is asked for twice, unless policies are of it") {
  Fixture f;
  f.resource.indispensable = GENERATE(false, true);
  f.start();
  f.listed({pod("a", "1")}, "5").end_stream();
  f.what();
  f.next().answer(404, "");
  turn_until(f.loop, [&] { return f.reflector->status().missing; });
  CHECK(f.what().empty());
  f.next().answer(404, "");
  f.next();
  CHECK(f.what() == (f.resource.indispensable ? "" : "-shop/a "));
}

TEST_CASE("a watch that has kept silent is given up, and a new connection made") {
  Fixture f;
  f.options.silence_max = std::chrono::milliseconds(80);
  f.start();
  const auto& stream = f.listed({pod("a", "1")}, "5");
  const size_t connections = f.server.accepted();
  turn_for(f.loop, 50);
  stream.chunk(bookmark("6"));
  turn_for(f.loop, 50);
  CHECK(f.reflector->status().connected);
  const auto& again = f.next();
  CHECK_THAT(again.query, Catch::Contains("resourceVersion=6"));
  CHECK(f.server.accepted() == connections + 1);
  CHECK_THAT(f.reflector->status().error, Catch::Contains("silent"));
}

TEST_CASE("a kind that rests may keep silent for longer than a list, when its list has ended") {
  Fixture f;
  f.options.open_wait = std::chrono::milliseconds(60);
  f.start();
  f.listed({pod("a", "1")}, "5");
  turn_for(f.loop, 200);
  CHECK(f.reflector->status().failures == 0);
  CHECK(f.requests.size() == 1);
}

TEST_CASE("a server that takes a request and says nothing is given up") {
  Fixture f;
  f.options.open_wait = std::chrono::milliseconds(60);
  f.start();
  CHECK_THAT(f.next().query, Catch::Contains("sendInitialEvents"));
  CHECK_THAT(f.next().query, Catch::StartsWith("limit="));
  CHECK(f.reflector->status().failures == 1);
}

TEST_CASE("refusals are shown with the server's own words, and tried again") {
  Fixture f;
  f.start();
  f.next().answer(403, R"({"kind":"Status","code":403,"message":"pods is forbidden"})");
  f.next();
  CHECK_THAT(f.reflector->status().error, Catch::Contains("403") && Catch::Contains("pods is forbidden"));
  CHECK_FALSE(f.reflector->status().listed);
}

TEST_CASE("a selector is part of every request") {
  Fixture f;
  f.resource.selector = "fieldSelector=metadata.name%3Dweir";
  f.start();
  const auto& stream = f.next();
  CHECK_THAT(stream.query, Catch::StartsWith("fieldSelector=metadata.name%3Dweir&watch=1"));
  stream.answer(422, kInvalid);
  CHECK(f.next().query == "fieldSelector=metadata.name%3Dweir&limit=500");
}

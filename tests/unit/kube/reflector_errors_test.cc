// What an API server can do wrong: words that are none, kinds it does not know, silence, refusals.
#include "tests/unit/kube/reflector_world.h"

using namespace weir;
using namespace weir::agent;
using Fixture = ReflectorWorld;

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

// Listing and watching: each kind of event, resuming, listing anew, pages, and the doubt about an empty list.
#include "tests/unit/kube/reflector_world.h"

using namespace weir;
using namespace weir::agent;
using Fixture = ReflectorWorld;

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

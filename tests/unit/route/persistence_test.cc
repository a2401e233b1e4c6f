// Sessions: tokens, the cookies and fields that carry them, time-outs, and when the client is told.
#include "nodeproxy/route/persistence.h"

#include <catch2/catch.hpp>
#include <random>

#include "tests/unit/route/tables.h"

using namespace weir;
using namespace weir::route;
using namespace weir::route::test;

namespace {

config::SessionPersistence persistence(const std::string& text) {
  return *table("rules { persistence { " + text + " } }")->rules[0].persistence;
}

const config::Backend kBackend{"shop/v1", 80, 1, {}};

config::RouteMatch prefix(const char* path) {
  config::RouteMatch match;
  match.path_value = path;
  return match;
}

// The response's field, after an answer of this endpoint.
std::string told(const config::SessionPersistence& how, const std::optional<Session>& had, uint64_t endpoint,
                 uint64_t now_s, bool secure = false, const config::RouteMatch& match = prefix("/")) {
  http::Head response;
  write_session(how, had, {match, kBackend, endpoint, secure}, now_s, response);
  const bool cookies = how.type == config::SessionPersistence::Type::cookie;
  return std::string(response.headers.get(cookies ? "set-cookie" : how.name).value_or(""));
}

std::string token_of(const std::string& set_cookie) {
  return set_cookie.substr(set_cookie.find('=') + 1, set_cookie.find(';') - set_cookie.find('=') - 1);
}

}  // namespace

TEST_CASE("a token says what it was made of, and nothing after a change of any byte") {
  const Session session{11, 0xfedcba9876543210ULL, 1'700'000'000, 1'700'000'100};
  const std::string token = encode_session(session);
  const auto back = decode_session(token);
  REQUIRE(back.has_value());
  CHECK(back->backend == session.backend);
  CHECK(back->endpoint == session.endpoint);
  CHECK(back->started_s == session.started_s);
  CHECK(back->used_s == session.used_s);
  for (size_t i = 0; i < token.size(); ++i) {
    std::string mangled = token;
    mangled[i] = mangled[i] == '0' ? '1' : '0';
    CHECK_FALSE(decode_session(mangled).has_value());
    mangled[i] = 'x';
    CHECK_FALSE(decode_session(mangled).has_value());
  }
  CHECK_FALSE(decode_session("").has_value());
  CHECK_FALSE(decode_session(token.substr(1)).has_value());
  CHECK_FALSE(decode_session(token + "0").has_value());
  CHECK(token.find("fedcba98") == std::string::npos);
}

TEST_CASE("random tokens lead nowhere") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 10'000; ++i) {
    std::string token;
    for (int n = 0; n < 80; ++n) token += "0123456789abcdef"[random() % 16];
    REQUIRE_FALSE(decode_session(token).has_value());
  }
}

TEST_CASE("a new session is told once by cookie, and read from the client's cookies, wherever it stands") {
  const auto how = persistence(R"(name: "sid")");
  const std::string cookie_line = told(how, {}, 7, 1000);
  CHECK(cookie_line.starts_with("sid="));
  CHECK(cookie_line.ends_with("; Path=/; HttpOnly"));
  const std::string token = token_of(cookie_line);
  for (const std::string& line : {"sid=" + token, "a=1; sid=" + token, "a=1;sid=" + token + " ; b",
                                  "xsid=1; sid=" + token, "sid=old; sid=" + token}) {
    CAPTURE(line);
    const auto session = read_session(how, get("/", {{"cookie", "z=1"}, {"Cookie", line.c_str()}}), 1000);
    REQUIRE(session.has_value());
    CHECK(session->endpoint == 7);
    CHECK(session->started_s == 1000);
    CHECK(told(how, session, 7, 2000).empty());
  }
  for (const std::string& line :
       {"SID=" + token, "sid=" + token + "x", std::string("sid"), std::string("sid="), "xsid=" + token})
    CHECK_FALSE(read_session(how, get("/", {{"cookie", line.c_str()}}), 1000).has_value());
  CHECK_FALSE(read_session(how, get("/"), 1000).has_value());
}

TEST_CASE("another endpoint than the session's begins a new one, and so does another backend") {
  const auto how = persistence(R"(name: "sid")");
  const Session session{backend_id(kBackend), 7, 1000, 1000};
  const auto next = decode_session(token_of(told(how, session, 8, 2000)));
  REQUIRE(next.has_value());
  CHECK(next->endpoint == 8);
  CHECK(next->started_s == 2000);
  Session elsewhere = session;
  elsewhere.backend = 1;
  CHECK_FALSE(told(how, elsewhere, 7, 2000).empty());
}

TEST_CASE(
    "the cookie has the matched path, is for this scheme only where that is https, and lives as configured") {
  const auto how =
      persistence(R"(name: "sid" absolute_timeout_seconds: 100 permanent: true idle_timeout_seconds: 50)");
  CHECK(
      told(how, {}, 7, 1000, true, prefix("/cart")).ends_with("; Path=/cart; HttpOnly; Secure; Max-Age=100"));
  // What is left of the whole, when it is told again.
  CHECK(told(how, Session{backend_id(kBackend), 7, 1000, 1000}, 7, 1030).ends_with("; Max-Age=70"));
  config::RouteMatch regex = prefix("/[a-z]");
  regex.path = config::RouteMatch::Path::regex;
  CHECK(told(how, {}, 7, 1000, false, regex).find("; Path=/;") != std::string::npos);
  CHECK(told(how, {}, 7, 1000, false, prefix("/a;Domain=x")).find("; Path=/;") != std::string::npos);
}

TEST_CASE("a session ends at its absolute time-out however much it is used") {
  const auto how = persistence(R"(type: HEADER name: "X-Session" absolute_timeout_seconds: 100)");
  const std::string token = told(how, {}, 7, 1000);
  const http::Head head = get("/", {{"x-session", token.c_str()}});
  CHECK(read_session(how, head, 1099).has_value());
  CHECK_FALSE(read_session(how, head, 1100).has_value());
  CHECK(read_session(how, head, 900).has_value());  // another node's clock is behind
}

TEST_CASE("a session ends when it is idle, and every use is told so that it does not") {
  const auto how = persistence(R"(type: HEADER name: "X-Session" idle_timeout_seconds: 10)");
  std::string token = told(how, {}, 7, 1000);
  for (uint64_t now = 1009; now < 1100; now += 9) {
    const auto session = read_session(how, get("/", {{"x-session", token.c_str()}}), now);
    REQUIRE(session.has_value());
    CHECK(session->started_s == 1000);
    token = told(how, session, 7, now);
    REQUIRE_FALSE(token.empty());
  }
  CHECK_FALSE(read_session(how, get("/", {{"x-session", token.c_str()}}), 1200).has_value());
}

TEST_CASE(
    "a session leads to its backend before any is chosen by weight, unless it is gone or has no weight") {
  const auto one = table(
      R"(rules { backends { service: "a" port: 80 weight: 1 } backends { service: "a" port: 81 weight: 9 } }
    rules { backends { service: "a" port: 81 weight: 0 } })");
  Session session;
  session.backend = backend_id(one->rules[0].backends[1]);
  CHECK(backend_of(one->rules[0], session) == &one->rules[0].backends[1]);
  CHECK(backend_of(one->rules[1], session) == nullptr);
  session.backend = 5;
  CHECK(backend_of(one->rules[0], session) == nullptr);
}

TEST_CASE("the first cookie of a name is found over all lines") {
  const http::Head head = get("/", {{"cookie", "a=1; b=2"}, {"COOKIE", "c=3;a=4; d=e=f"}});
  CHECK(cookie(head.headers, "a") == "1");
  CHECK(cookie(head.headers, "c") == "3");
  CHECK(cookie(head.headers, "d") == "e=f");
  CHECK_FALSE(cookie(head.headers, "A").has_value());
}

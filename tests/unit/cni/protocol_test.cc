// The lines between plugin and agent, and the list of enrolled namespaces.
#include "agent/cni/protocol.h"

#include <catch2/catch.hpp>

#include "agent/cni/enrolled_file.h"

using namespace weir::cni;

TEST_CASE("a question and an answer survive the line between them") {
  const Question question{"ADD", "shop", "web\"\n", "u", "c", "/run/netns/x", {"10.0.0.1", "fd00::1"}, 20000};
  const std::string line = to_line(question);
  CHECK(line.find('\n') == line.size() - 1);
  CHECK(read_question(line) == question);
  for (const Verdict verdict : {Verdict::captured, Verdict::not_enrolled, Verdict::refused}) {
    const Answer answer{verdict, verdict == Verdict::refused, "because\tof\nthat"};
    CHECK(read_answer(to_line(answer)) == answer);
  }
}

TEST_CASE("a line that is no question is none, whatever it is instead") {
  const std::string good = to_line(Question{"ADD", "a", "b", "c", "d", "e", {}, 1});
  REQUIRE(read_question(good));
  CHECK_FALSE(read_question(""));
  CHECK_FALSE(read_question("[1]"));
  CHECK_FALSE(read_question(good.substr(0, good.size() / 2)));
  CHECK_FALSE(read_question(R"({"command":"ADD"})"));
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = good;
    changed.replace(changed.find(from), from.size(), to);
    return read_question(changed);
  };
  CHECK_FALSE(with("\"wait_ms\":1", "\"wait_ms\":-1"));
  CHECK_FALSE(with("\"wait_ms\":1", "\"wait_ms\":\"1\""));
  CHECK_FALSE(with("\"addresses\":[]", "\"addresses\":[7]"));
  CHECK_FALSE(with("\"uid\":\"c\"", "\"uid\":null"));
}

TEST_CASE("the list of enrolled namespaces is read as it was written") {
  for (const std::set<std::string>& names :
       {std::set<std::string>{}, {"shop"}, {"end", "shop", "weir-enrolled-namespaces-1"}}) {
    const EnrolledFile file = parse_enrolled(enrolled_text(names));
    CHECK(file.state == EnrolledFile::State::read);
    CHECK(file.namespaces == names);
  }
  const EnrolledFile file = parse_enrolled(enrolled_text({"shop"}));
  CHECK(file.may_be_enrolled("shop"));
  CHECK_FALSE(file.may_be_enrolled("sho"));
}

TEST_CASE("a list that is cut off anywhere, or strange, is damaged and enrols everybody") {
  const std::string whole = enrolled_text({"a", "shop"});
  for (size_t length = 0; length < whole.size(); ++length) {
    const EnrolledFile file = parse_enrolled(whole.substr(0, length));
    CHECK(file.state == EnrolledFile::State::damaged);
    CHECK(file.may_be_enrolled("anybody"));
  }
  for (const char* text :
       {"weir enrolled-namespaces 2\nend\n", "weir enrolled-namespaces 1\nshop\nend\n",
        "weir enrolled-namespaces 1\n- Shop\nend\n", "weir enrolled-namespaces 1\n- \nend\n",
        "weir enrolled-namespaces 1\nend\n- shop\n", "\0\0\0\0"}) {
    CHECK(parse_enrolled(text).state == EnrolledFile::State::damaged);
  }
  CHECK(read_enrolled("/nonexistent/file").state == EnrolledFile::State::absent);
  CHECK(read_enrolled("/").state == EnrolledFile::State::damaged);
}

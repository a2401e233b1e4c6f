// yaml-cpp with what keeps it from losing itself. See documents.h.
#include "agent/files/documents.h"

#include <yaml-cpp/eventhandler.h>

#include <optional>
#include <sstream>

namespace weir::agent {
namespace {

// YAML has no control characters but these, and yaml-cpp takes some of the others for its own marks.
void refuse_controls(const std::string& text) {
  int line = 1;
  for (const char c : text) {
    if (c == '\n') ++line;
    if (static_cast<unsigned char>(c) < ' ' && c != '\n' && c != '\r' && c != '\t') {
      throw Refused{line, "the text has a control character, which YAML in UTF-8 has not"};
    }
  }
}

// Throws where two documents begin at one place. At a token that begins no node, as a comma, yaml-cpp 0.7 reads an empty
// document and stays where it is: LoadAll then fills the memory with documents.
class Progress final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (last_ == mark.pos)
      throw Refused{mark.line + 1, "the text has a character that begins nothing in YAML"};
    last_ = mark.pos;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
  }
  void OnMapEnd() override {}

 private:
  std::optional<int> last_;
};

void refuse_standstill(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  Progress progress;
  while (parser.HandleNextDocument(progress)) {
  }
}

}  // namespace

std::vector<Field> documents_of(const std::string& text) {
  refuse_controls(text);
  refuse_standstill(text);
  std::vector<Field> out;
  for (const YAML::Node& node : YAML::LoadAll(text)) {
    const Field document(node, "");
    if (!document.present()) continue;  // an empty document, or only comments
    if (document["kind"].text() != "List") {
      out.push_back(document);
      continue;
    }
    for (const auto& item : document["items"].items()) out.push_back(item);
  }
  return out;
}

}  // namespace weir::agent

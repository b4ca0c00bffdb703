"""The chat front, with a server that echoes."""

from types import SimpleNamespace

from servelab.widgets.chat import Chat


class Echo:
    """Answers with the last question's words, one chunk a word, and remembers what it was sent."""

    model = "echo"

    def __init__(self):
        self.seen = []

    def client(self):
        return SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=self.create)))

    def create(self, messages, **settings):
        self.seen.append((list(messages), settings))
        for word in [*messages[-1]["content"].split(), None]:
            yield SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(content=word))])
        yield SimpleNamespace(choices=[])


def test_the_conversation_is_sent_again_with_every_question():
    chat = Chat(Echo(), temperature=0.5)
    assert chat.ask("one two") == "onetwo"
    chat.ask("three")
    messages, settings = chat.server.seen[1]
    assert [m["content"] for m in messages] == ["one two", "onetwo", "three"]
    assert settings["temperature"] == 0.5 and settings["stream"]


def test_what_is_written_cannot_be_markup():
    chat = Chat(Echo())
    chat.ask("<script>")
    assert "<script>" not in chat.page()


def test_the_live_box_sends_and_empties():
    chat = Chat(Echo())
    box = chat.live().children[1].children[0]
    box.value = "hello"
    assert box.value == "" and chat.messages[-1]["content"] == "hello"


def test_a_failing_server_is_told_in_the_page():
    chat = Chat(Echo())
    chat.server.create = lambda **_: 1 / 0
    chat.live().children[1].children[0].value = "hello"
    assert "division" in chat._page.value and chat.messages == []

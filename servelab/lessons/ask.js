// One question with its choices or a field for a number; what follows an answer is said by the kernel.
function render({ model, el }) {
  const make = (tag, props = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), props);
    node.append(...children);
    return node;
  };
  const name = `ask-${model.get("name")}-${Math.random().toString(36).slice(2)}`;
  const form = make("form", { className: "servelab-ask" });
  const group = make("fieldset");
  const question = make("legend", { innerHTML: model.get("question") });
  const feedback = make("div", { className: "servelab-feedback" });
  feedback.setAttribute("aria-live", "polite");
  const button = make("button", { type: "submit", textContent: model.get("button") });
  group.append(question);
  if (model.get("hint")) group.append(make("p", { className: "servelab-hint", innerHTML: model.get("hint") }));

  let read;
  const choices = model.get("choices");
  if (choices.length) {
    const radios = choices.map((text, value) => {
      const radio = make("input", { type: "radio", name, value });
      radio.checked = String(value) === model.get("answer");
      group.append(make("label", {}, radio, make("span", { innerHTML: text })));
      return radio;
    });
    read = () => radios.find((radio) => radio.checked)?.value ?? "";
  } else {
    const field = make("input", { type: "text", inputMode: "decimal", value: model.get("answer"), size: 12 });
    field.setAttribute("aria-label", question.textContent);
    group.append(make("label", {}, field, make("span", { textContent: model.get("unit") })));
    read = () => field.value;
  }
  group.append(button);
  form.append(group, feedback);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    model.send({ answer: read() });
  });
  // JupyterLab's own keys (a, b, dd ...) must not fire while someone types here.
  form.addEventListener("keydown", (event) => event.stopPropagation());

  const show = () => {
    feedback.innerHTML = model.get("feedback");
    group.disabled = model.get("closed");
  };
  model.on("change:feedback change:closed", show);
  show();
  el.append(form);
}

export default { render };

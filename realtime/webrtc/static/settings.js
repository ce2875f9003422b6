// The settings on the page and those of the server, kept alike.

const $ = (id) => document.getElementById(id);

const LAYOUT_WORDS = {
  portrait: "Portrait, large",
  inplace: "Where the face is",
  frame: "With body and room",
  square: "The square itself",
};

export class SettingsForm {
  constructor(send) {
    this.form = $("controls");
    this.send = send;
    this.form.addEventListener("input", (event) => this.changed(event.target));
    this.form.addEventListener("submit", (event) => event.preventDefault());
  }

  // What the server offers, once a connection is made.
  offer(choices) {
    fill($("style"), choices.styles.map((style) => [style.name, style.text]));
    fill($("layout"), choices.layouts.map((layout) => [layout, LAYOUT_WORDS[layout] || layout]));
    this.swatches(choices.inks);
    const papers = $("papers");
    papers.querySelectorAll("label").forEach((label) => label.remove());
    for (const paper of choices.papers) papers.append(radio("paper", paper, paper[0].toUpperCase() + paper.slice(1)));
  }

  swatches(inks) {
    const box = $("inks");
    box.querySelectorAll("label").forEach((label) => label.remove());
    for (const [name, colour] of Object.entries(inks)) {
      const label = radio("ink", colour, "");
      label.querySelector("input").setAttribute("aria-label", name);
      label.querySelector("span").style.setProperty("--swatch", colour);
      label.title = name;
      box.append(label);
    }
    const own = document.createElement("label");
    own.title = "a colour of your own";
    own.innerHTML = '<input type="color" name="ink" aria-label="a colour of your own" value="#7a1f2b">';
    box.append(own);
  }

  show(settings) {
    for (const [name, value] of Object.entries(settings)) {
      for (const input of this.form.querySelectorAll(`[name="${name}"]`)) {
        if (input === document.activeElement && input.type === "range") continue;
        if (input.type === "checkbox") input.checked = Boolean(value);
        else if (input.type === "radio") input.checked = input.value === String(value);
        else input.value = value;
      }
    }
    $("camera").classList.toggle("mirrored", settings.mirror);
  }

  enable(on) {
    for (const id of ["style", "layout", "smooth", "weight", "inks", "papers", "mirror", "chalk"]) $(id).disabled = !on;
  }

  changed(input) {
    if (!["style", "layout", "smooth", "weight", "ink", "paper", "mirror", "chalk"].includes(input.name)) return;
    const value = input.type === "checkbox" ? input.checked : input.type === "range" ? Number(input.value) : input.value;
    this.send({ [input.name]: value });
  }
}

export function fill(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, text]) => new Option(text, value, false, value === chosen)));
}

function radio(name, value, text) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "radio", name, value });
  const span = document.createElement("span");
  span.textContent = text;
  label.append(input, span);
  return label;
}

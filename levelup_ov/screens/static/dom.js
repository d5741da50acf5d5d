// Small tools of all pages. Texts go in as text, never as HTML.

export function make(tag, members = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(members)) {
    if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Text from elsewhere. It keeps its own direction, so that right-to-left text moves nothing around it.
export function bdi(text) {
  return make("bdi", { textContent: text });
}

export function money(cents) {
  const sign = cents < 0 ? "\u2212" : "";
  const whole = Math.floor(Math.abs(cents) / 100).toLocaleString("en-US");
  return `${sign}$${whole}.${String(Math.abs(cents) % 100).padStart(2, "0")}`;
}

// The data that the page came with: <script type="application/json" id="...">.
export function given(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

// Shows in `region` that something is going on while `work` lasts; what takes less than a moment shows nothing.
export async function waiting(region, words, work) {
  const shown = make("p", { className: "waiting", role: "status", textContent: words });
  const timer = setTimeout(() => region.append(shown), 250);
  region.setAttribute("aria-busy", "true");
  try {
    return await work;
  } finally {
    clearTimeout(timer);
    shown.remove();
    region.removeAttribute("aria-busy");
  }
}

// Runs `work` when a button is pressed or a form is sent, once at a time; `complain` gets what it throws.
export function act(work, complain = console.error) {
  return async (event) => {
    event?.preventDefault();
    const button = event?.submitter ?? event?.currentTarget;
    if (button?.tagName === "BUTTON") button.disabled = true;
    try {
      await work(event);
    } catch (error) {
      complain(error);
    } finally {
      if (button?.tagName === "BUTTON") button.disabled = false;
    }
  };
}

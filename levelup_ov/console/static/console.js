// A form that takes a while says so, and is sent once.
for (const form of document.querySelectorAll("form[data-waiting]")) {
  form.addEventListener("submit", () => {
    const shown = document.createElement("p");
    shown.className = "waiting";
    shown.role = "status";
    shown.textContent = form.dataset.waiting;
    form.append(shown);
    for (const button of form.querySelectorAll("button")) button.disabled = true;
  });
}

// The pages work without this script. It fills in the login form and extends the live page.
"use strict";

// A login link has the token after #, which browsers do not send to servers.
const login = document.getElementById("login");
const fillIn = () => {
  if (location.hash.length < 2) return;
  login.elements.token.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  login.requestSubmit();
};
if (login) {
  fillIn();
  // Following such a link from the login page itself loads no new page.
  addEventListener("hashchange", fillIn);
}

// Reload while something is still running.
if (document.querySelector("[data-reload]")) setTimeout(() => location.reload(), 2000);

const ENTRIES_MAX = 200;
const entries = document.getElementById("entries");
if (entries && "stream" in entries.dataset) {
  const pause = document.getElementById("pause");
  const news = document.getElementById("news");
  const template = document.createElement("template");
  const waiting = [];
  let isPaused = false;

  const add = (html) => {
    template.innerHTML = html;
    const entry = template.content.firstElementChild;
    entry.classList.add("fresh");
    document.getElementById("none")?.remove();
    entries.prepend(entry);
    while (entries.children.length > ENTRIES_MAX) entries.lastElementChild.remove();
  };
  const tell = () => {
    news.textContent = isPaused && waiting.length ? `${waiting.length} new` : "";
  };
  pause.hidden = false;
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    pause.textContent = isPaused ? "Go on" : "Pause";
    while (!isPaused && waiting.length) add(waiting.shift());
    tell();
  });

  const problem = document.getElementById("problem");
  const say = (words) => {
    problem.textContent = words;
    problem.hidden = !words;
  };
  const stream = new EventSource(entries.dataset.stream);
  stream.addEventListener("problem", (event) => {
    say(event.data && `Nothing new can be seen: ${event.data}.`);
  });
  // Streams end regularly and the browser reconnects, so only lasting problems are shown.
  let gone = 0;
  stream.addEventListener("error", () => {
    gone ||= setTimeout(() => say("Nothing new can be seen: the console does not answer."), 5000);
  });
  stream.addEventListener("open", () => {
    if (!gone) return;
    clearTimeout(gone);
    gone = 0;
    say("");
  });
  stream.addEventListener("moment", (event) => {
    if (!isPaused) return add(event.data);
    waiting.push(event.data);
    if (waiting.length > ENTRIES_MAX) waiting.shift();
    tell();
  });
  stream.addEventListener("restart", () => {
    stream.close();
    location.reload();
  });
}

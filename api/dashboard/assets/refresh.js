// Everything works without this script. It asks for the page again while it is
// looked at, and tells the server the reader's time zone once.
(function () {
  "use strict";

  function cookie(name) {
    return document.cookie.split("; ").some(function (c) { return c.indexOf(name + "=") === 0; });
  }
  if (document.querySelector("form.zone") && !cookie("conciliar_zone")) {
    var zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zone && /^[A-Za-z0-9_+\/-]{1,64}$/.test(zone)) {
      document.cookie = "conciliar_zone=" + zone + "; path=/dashboard; max-age=31536000; samesite=lax" +
        (location.protocol === "https:" ? "; secure" : "");
      // Where cookies are off, nothing is asked for again and again.
      if (zone !== "UTC" && cookie("conciliar_zone")) { location.reload(); return; }
    }
  }

  // "Select all" for lists with boxes.
  document.addEventListener("change", function (event) {
    var all = event.target;
    if (!all.matches || !all.matches("input[data-all]")) { return; }
    Array.prototype.forEach.call(all.form.elements, function (box) {
      if (box.name === all.dataset.all) { box.checked = all.checked; }
    });
  });

  var main = document.getElementById("main");
  if (!main || !main.dataset.refresh) { return; }
  var pause = Number(main.dataset.refresh) * 1000;
  var retry = Math.min(pause, 5000);
  var stale = document.getElementById("stale");
  // When the picture was made, and why there is no newer one.
  var good = Date.now(), why = "";

  // Whoever types, has chosen something or has marked a text is left alone.
  function busy() {
    var at = document.activeElement;
    if (at && main.contains(at) && at.matches("input, textarea, select")) { return true; }
    if (main.querySelector("input[type=checkbox]:checked")) { return true; }
    var typed = Array.prototype.some.call(main.querySelectorAll("textarea, input[type=text]"), function (field) {
      return field.value !== field.defaultValue;
    });
    var marked = window.getSelection();
    return typed || (marked && !marked.isCollapsed && main.contains(marked.anchorNode));
  }

  // A picture that is older than it should be says so, whatever the reason.
  function tell() {
    if (!stale || main.hasAttribute("data-reload")) { return; }
    var late = Date.now() - good > 2 * pause + 5000;
    var text = why ? stale.dataset[why] : late ? stale.dataset.paused : "";
    var at = document.getElementById("as-of");
    text = text.replace("{time}", at ? at.textContent : new Date(good).toLocaleTimeString());
    if (stale.textContent !== text) { stale.textContent = text; }
    stale.hidden = !text;
  }

  // What names a part of the page among its neighbours: rows come and go, and a button
  // must not become another row's under somebody's finger.
  function key(node) {
    if (node.nodeType !== 1) { return ""; }
    var link = node.matches("tr, li") && node.querySelector("a[href]");
    return node.id || (link ? link.getAttribute("href") : "");
  }

  // Changes only what differs: what is read, opened or about to be pressed stays.
  function change(old, fresh) {
    if (old.isEqualNode(fresh)) { return; }
    if (old.nodeType !== 1 || old.nodeName !== fresh.nodeName) { old.replaceWith(fresh); return; }
    Array.from(old.attributes).forEach(function (a) {
      if (a.name !== "open" && !fresh.hasAttribute(a.name)) { old.removeAttribute(a.name); }
    });
    Array.from(fresh.attributes).forEach(function (a) {
      if (a.name !== "open" && old.getAttribute(a.name) !== a.value) { old.setAttribute(a.name, a.value); }
    });
    var at = old.firstChild;
    function drop(until) {
      while (at !== until) { var gone = at; at = at.nextSibling; gone.remove(); }
    }
    Array.from(fresh.childNodes).forEach(function (node) {
      var name = key(node), found = at;
      if (name) {
        while (found && key(found) !== name) { found = found.nextSibling; }
        if (found) { drop(found); }
      }
      if (!found || key(found) !== name) { old.insertBefore(node, at); return; }
      at = at.nextSibling;
      change(found, node);
    });
    drop(null);
  }

  function refresh() {
    if (document.hidden || busy()) { return Promise.resolve(); }
    var asked = { credentials: "same-origin", headers: { "Accept": "text/html" }, signal: AbortSignal.timeout(15000) };
    return fetch(location.href, asked).then(function (answer) {
      // The session has ended, or the page is there again: the server knows what to show.
      if (answer.redirected || answer.status === 401 || (answer.ok && main.hasAttribute("data-reload"))) { location.reload(); return null; }
      if (!answer.ok) { why = answer.status === 503 ? "database" : "page"; return null; }
      return answer.text();
    }).then(function (text) {
      if (!text) { return; }
      why = "";
      if (busy()) { return; }
      var fresh = new DOMParser().parseFromString(text, "text/html");
      if (!fresh.getElementById("main")) { return; }
      ["main", "side"].forEach(function (id) {
        var old = document.getElementById(id);
        if (old && fresh.getElementById(id)) { change(old, fresh.getElementById(id)); }
      });
      good = Date.now();
    }).catch(function () { why = "service"; }).then(tell);
  }

  function wait() { setTimeout(function () { refresh().then(wait); }, why ? retry : pause); }
  wait();
  setInterval(tell, 1000);
  document.addEventListener("visibilitychange", function () { if (!document.hidden) { refresh(); } });
}());

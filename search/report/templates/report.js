(function () {
  const said = document.getElementById("said");
  let clock;
  function say(text) {
    said.textContent = text;
    said.classList.add("now");
    clearTimeout(clock);
    clock = setTimeout(() => said.classList.remove("now"), 2000);
  }
  function copyOld(text) {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
  async function copy(text) {
    let done = false;
    try {
      await navigator.clipboard.writeText(text);
      done = true;
    } catch {
      done = copyOld(text);
    }
    say(done ? "spelling copied" : text);
  }
  document.querySelectorAll("[data-copy]").forEach((button) => {
    button.addEventListener("click", () => copy(button.dataset.copy));
  });
  const charts = document.querySelectorAll(".plotly-graph-div");
  // plotly takes longer to start than all else, so that the answer is shown before it does.
  let started = false;
  function start() {
    if (started) return;
    started = true;
    const script = document.createElement("script");
    script.textContent = document.getElementById("plotly").textContent;
    document.head.append(script);
  }
  // A figure is drawn when it is about to be seen: a page of a thousand candidates opens at once.
  function draw(chart) {
    if (chart.dataset.drawn) return;
    start();
    chart.dataset.drawn = "true";
    if (!window.Plotly) {
      chart.textContent = "This figure cannot be drawn: the page is damaged, or scripts are blocked.";
      return;
    }
    const made = JSON.parse(chart.nextElementSibling.textContent);
    Plotly.newPlot(chart, made.data, made.layout, { responsive: true, displaylogo: false });
    const plot = chart.closest(".plot");
    if (plot.classList.contains("networks")) follow(chart, plot.nextElementSibling);
  }
  function follow(chart, shown) {
    chart.on("plotly_click", (event) => {
      const known = event.points[0].customdata;
      if (known) copy(known[0]);
    });
    chart.on("plotly_hover", (event) => {
      const known = event.points[0].customdata;
      const drawn = known && known[1] && document.getElementById("drawing-" + known[1]);
      if (drawn) {
        shown.hidden = false;
        shown.replaceChildren(drawn.content.cloneNode(true));
      }
    });
  }
  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) {
          seen.unobserve(entry.target);
          draw(entry.target);
        }
      }
      // The page was shown; figures further down wait less when they are scrolled to.
      (window.requestIdleCallback || setTimeout)(start);
    },
    { rootMargin: "300px" },
  );
  charts.forEach((chart) => seen.observe(chart));
  // On paper all of them are, and a figure keeps the screen's width there unless it is told.
  addEventListener("beforeprint", () => {
    charts.forEach((chart) => {
      draw(chart);
      Plotly.relayout(chart, { width: 680 });
    });
  });
  addEventListener("afterprint", () => {
    charts.forEach((chart) => Plotly.relayout(chart, { width: null, autosize: true }));
  });
})();

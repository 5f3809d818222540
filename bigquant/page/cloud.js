// The colors along red, green and blue: a cube that turns.
(() => {
  const canvas = document.getElementById("cloud");
  if (!canvas) return;
  const pen = canvas.getContext("2d");
  const data = JSON.parse(document.getElementById("cloud-data").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  const centers = bytes(data.centers).length / 3;
  const crowd = Math.min(1, Math.max(0.45, (32 / centers) ** 0.25)); // many stand closer: smaller
  const read = (colors, sizes, isCenter) => {
    const [rgb, size] = [bytes(colors), bytes(sizes)];
    return Array.from(size, (weight, i) => {
      const [r, g, b] = rgb.subarray(3 * i, 3 * i + 3);
      const radius = isCenter ? crowd * (4.5 + (6.5 * weight) / 255) : 1.1 + (5 * weight) / 255;
      return { at: [r / 255 - 0.5, g / 255 - 0.5, b / 255 - 0.5], radius, isCenter, fill: `rgb(${r} ${g} ${b})` };
    });
  };
  const points = read(data.points, data.sizes, false);
  const disks = read(data.centers, data.centerSizes, true);

  const corner = (bits) => [(bits & 1) - 0.5, ((bits >> 1) & 1) - 0.5, ((bits >> 2) & 1) - 0.5];
  const edges = [];
  for (let from = 0; from < 8; from++) {
    for (const axis of [1, 2, 4]) if (!(from & axis)) edges.push([from, from | axis]);
  }
  const axes = [
    { letter: "R", end: [0.6, -0.5, -0.5], color: ["#c0392b", "#ff8a7a"] },
    { letter: "G", end: [-0.5, 0.6, -0.5], color: ["#1e7d3c", "#7fd99a"] },
    { letter: "B", end: [-0.5, -0.5, 0.6], color: ["#2457c5", "#8fb2ff"] },
  ];

  const START = { yaw: -0.65, pitch: 0.42 };
  const DISTANCE = 3.4;
  let { yaw, pitch } = START;
  let [width, height, dots] = [0, 0, 1];
  let [soft, isDark] = ["gray", false];

  const project = ([r, g, b]) => {
    const [sin, cos] = [Math.sin(yaw), Math.cos(yaw)];
    const [x, z] = [r * cos - b * sin, r * sin + b * cos];
    const [up, deep] = [Math.sin(pitch), Math.cos(pitch)];
    const [y, toward] = [g * deep - z * up, g * up + z * deep];
    const scale = (Math.min(width, height) * 0.5 * DISTANCE) / (DISTANCE - toward);
    return { x: width / 2 + x * scale, y: height / 2 - y * scale, toward, near: DISTANCE / (DISTANCE - toward) };
  };

  const drawCube = () => {
    pen.lineWidth = 1;
    pen.strokeStyle = soft;
    pen.globalAlpha = 0.35;
    pen.beginPath();
    for (const [from, to] of edges) {
      const [a, b] = [project(corner(from)), project(corner(to))];
      pen.moveTo(a.x, a.y);
      pen.lineTo(b.x, b.y);
    }
    pen.stroke();
    pen.globalAlpha = 1;
    pen.font = "600 13px sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const black = project(corner(0));
    for (const { letter, end, color } of axes) {
      const tip = project(end);
      pen.strokeStyle = pen.fillStyle = color[Number(isDark)];
      pen.beginPath();
      pen.moveTo(black.x, black.y);
      pen.lineTo(black.x + (tip.x - black.x) * 0.92, black.y + (tip.y - black.y) * 0.92);
      pen.stroke();
      pen.fillText(letter, tip.x, tip.y);
    }
  };

  const EDGE = [[1, "rgb(128 128 128 / 0.5)"]];
  const RINGS = [[6, "#222"], [4, "#fff"]];
  const drawDisks = (some) => {
    for (const disk of some) disk.seen = project(disk.at);
    some.sort((a, b) => a.seen.toward - b.seen.toward);
    for (const { seen, radius, isCenter, fill } of some) {
      pen.beginPath();
      pen.arc(seen.x, seen.y, radius * seen.near, 0, 2 * Math.PI);
      for (const [line, color] of isCenter ? RINGS : EDGE) {
        pen.lineWidth = isCenter ? crowd * line : line;
        pen.strokeStyle = color;
        pen.stroke();
      }
      pen.fillStyle = fill;
      pen.fill();
    }
  };

  const draw = () => {
    pen.setTransform(dots, 0, 0, dots, 0, 0);
    pen.clearRect(0, 0, width, height);
    drawCube();
    pen.globalAlpha = 0.8;
    drawDisks(points);
    pen.globalAlpha = 1;
    drawDisks(disks); // in front of all points, which would bury them
  };

  let waiting = false;
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  };
  const turn = (across, down) => {
    yaw += across;
    pitch = Math.max(-1.5, Math.min(1.5, pitch + down));
    redraw();
  };

  // By itself it turns slowly, while it is in sight, until somebody takes it.
  const button = document.getElementById("turn");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let [turning, inSight, stepping, last] = [false, false, false, 0];
  const step = (now) => {
    stepping = turning && inSight;
    if (!stepping) return;
    if (now - last >= 30) {
      turn(Math.min(now - last, 100) * 0.00015, 0);
      last = now;
    }
    requestAnimationFrame(step);
  };
  const goOn = () => {
    if (!stepping) requestAnimationFrame(step);
    stepping = true;
  };
  const setTurning = (value) => {
    turning = value;
    button.textContent = turning ? "Pause" : "Turn";
    button.setAttribute("aria-label", turning ? "Stop turning the cloud" : "Turn the cloud slowly");
    goOn();
  };
  button.addEventListener("click", () => setTurning(!turning));
  calm.addEventListener("change", () => calm.matches && setTurning(false));
  new IntersectionObserver(([entry]) => {
    inSight = entry.isIntersecting;
    goOn();
  }).observe(canvas);

  let held = null;
  canvas.addEventListener("pointerdown", (event) => {
    setTurning(false);
    held = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held) return;
    turn((event.clientX - held[0]) * 0.008, (event.clientY - held[1]) * 0.008);
    held = [event.clientX, event.clientY];
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => (held = null));
  }
  const keys = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, -0.12], ArrowDown: [0, 0.12] };
  canvas.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Home") ({ yaw, pitch } = START);
    else if (!(event.key in keys)) return;
    event.preventDefault();
    setTurning(false);
    turn(...(keys[event.key] ?? [0, 0]));
  });

  const paper = matchMedia("print");
  const look = () => {
    const theme = document.documentElement.dataset.theme;
    const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    isDark = dark && !paper.matches;
    soft = getComputedStyle(canvas).color;
    draw();
  };
  addEventListener("themechange", look);
  paper.addEventListener("change", look);
  new ResizeObserver(() => {
    dots = Math.min(2, devicePixelRatio || 1);
    [width, height] = [canvas.clientWidth, canvas.clientHeight];
    [canvas.width, canvas.height] = [width * dots, height * dots];
    look();
  }).observe(canvas);

  button.hidden = false;
  setTurning(!calm.matches);
})();

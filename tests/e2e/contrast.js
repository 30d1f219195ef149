// Every text on the page that is too pale for its size (WCAG 2.2, 1.4.3 AA), and every part of a
// picture that is too pale beside its ground (1.4.11).
const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
const rgba = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const luminance = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((part) => {
    const c = part / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const ratio = (one, other) => {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
};
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = rgba(getComputedStyle(at).backgroundColor);
    if (colour[3] === 255) return colour;
    if (colour[3] !== 0) throw new Error(`half a ground on ${at.tagName}`);
  }
  throw new Error("the page has no ground of its own");
};
const pale = [];
let texts = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  const text = walker.currentNode.data.trim();
  if (!text || !element.checkVisibility()) continue;
  texts += 1;
  const style = getComputedStyle(element);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  for (let at = element; at; at = at.parentElement) {
    if (getComputedStyle(at).opacity !== "1") pale.push(`${text.slice(0, 40)}: opacity`);
  }
  const found = ratio(rgba(style.color), ground(element));
  if (found < (large ? 3 : 4.5)) pale.push(`${text.slice(0, 40)}: ${found.toFixed(2)}`);
}
for (const path of document.querySelectorAll("svg path")) {
  const found = ratio(rgba(getComputedStyle(path).fill), ground(path.closest(":not(svg, svg *)")));
  if (found < 3) pale.push(`path.${path.getAttribute("class")}: ${found.toFixed(2)}`);
}
return { texts, pale };

// Makes each slide fit the screen when it is shown: smaller letters first, then code that wraps, then an output in two
// columns, and at last the tallest output scrolls in its box. Letters are never smaller than the last row can read.
const WIDTH = 1280, HEIGHT = 720, BOTTOM = 40;
const WAYS = [
    {steps: [1.2, 1.1, 1]},
    {steps: [1, 0.9, 0.8], wraps: true},
    {steps: [0.9, 0.8], wraps: true, columns: true},
    {steps: [0.8], wraps: true},
];

function missing(slide) {
    const box = slide.getBoundingClientRect();
    const bottoms = [...slide.querySelectorAll('.jp-Cell')].map(cell => cell.getBoundingClientRect().bottom - box.top);
    return Math.max(0, ...bottoms) * WIDTH / box.width - (HEIGHT - BOTTOM);
}

function tooWide(slide) {
    return [...slide.querySelectorAll('pre, .jp-OutputArea-output, .jp-MarkdownOutput')].some(
        box => box.scrollWidth > box.clientWidth + 1);
}

function fits(slide) {
    return WAYS.some(way => {
        slide.classList.toggle('wraps', way.wraps === true);
        slide.classList.toggle('columns', way.columns === true);
        return way.steps.some(step => {
            slide.style.setProperty('--fit', step);
            return missing(slide) <= 0 && !tooWide(slide);
        });
    });
}

function scrollTallest(slide) {
    const boxes = [...slide.querySelectorAll('.jp-OutputArea-output')];
    const [tallest] = boxes.sort((one, other) => other.offsetHeight - one.offsetHeight);
    if (!tallest) return false;
    const fit = Number(slide.style.getPropertyValue('--fit'));
    tallest.classList.add('scrolls');
    tallest.tabIndex = 0;
    tallest.style.maxHeight = `${Math.max(120, tallest.offsetHeight - missing(slide) / fit - 4)}px`;
    return true;
}

function fit(slide) {
    if (!slide || slide.dataset.fitted) return;
    slide.dataset.fitted = 'yes';
    if (fits(slide)) return;
    for (let tries = 0; tries < 4 && missing(slide) > 0 && scrollTallest(slide); tries++);
}

Reveal.on('ready', event => fit(event.currentSlide));
Reveal.on('slidechanged', event => fit(event.currentSlide));
Reveal.initialize({
    width: WIDTH, height: HEIGHT, margin: 0, center: false, hash: true, controls: true, progress: true,
    slideNumber: 'c/t', transition: 'none', plugins: [RevealNotes],
});

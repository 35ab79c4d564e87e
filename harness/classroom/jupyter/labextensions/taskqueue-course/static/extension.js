// A JupyterLab extension in the form that JupyterLab loads (module federation), written by hand: there is nothing to
// build. It replaces JupyterLab's cell executor, which labconfig/page_config.json turns off.
//
// JupyterLab 4.6 drops a cell that is run while the server starts the kernel's session. Here the cell waits. In addition,
// the notebook is saved before a cell that calls check(), because check() compares the answer with the saved notebook.
// A link to a cell shows this cell also if it opens the notebook, and lines of outputs are broken between words.
(() => {
    let shared; // the modules of JupyterLab
    let tracker; // knows the open notebooks
    const batches = new WeakMap(); // by session: the cells that wait until it has started and the notebook is saved

    async function load(name) {
        const versions = Object.values(shared[name]);
        return (await versions[0].get())();
    }

    async function save(sessionContext) {
        const panel = tracker?.find(each => each.sessionContext === sessionContext);
        if (panel?.context.model.dirty && !panel.context.model.readOnly) {
            await panel.context.save();
        }
    }

    // JupyterLab itself starts the session after it has asked for the checkpoints. A second call of `initialize` only waits.
    async function start(sessionContext, notebook) {
        await sessionContext.specsManager.ready;
        const preference = sessionContext.kernelPreference;
        if (!preference.name) {
            const { defaultKernelName: name, defaultKernelLanguage: language } = notebook;
            sessionContext.kernelPreference = { ...preference, name, language };
        }
        await sessionContext.initialize();
    }

    async function prepare(batch, { notebook, sessionContext }) {
        if (!sessionContext.isReady) {
            await start(sessionContext, notebook);
        }
        while (batch.checks) { // a cell that calls check() may join while the notebook is being saved
            batch.checks = false;
            await save(sessionContext);
        }
    }

    // Run All calls this for all cells at once. They must also be sent at once: after an exception, the kernel drops only
    // the cells that it has received.
    function executor(runCell) {
        return async options => {
            const { cell, sessionContext } = options;
            if (cell.model.type !== 'code' || !sessionContext) {
                return runCell(options);
            }
            const batch = batches.get(sessionContext) ?? {};
            batch.checks ||= /\bcheck\s*\(/.test(cell.model.sharedModel.getSource());
            batch.ready ??= Promise.resolve()
                .then(() => prepare(batch, options))
                .catch(error => console.warn('taskqueue-course:', error)) // JupyterLab shows what is wrong
                .then(() => batches.delete(sessionContext));
            batches.set(sessionContext, batch);
            if (sessionContext.isReady) {
                await batch.ready;
            } else {
                cell.setPrompt('*');
                await batch.ready;
                cell.setPrompt(''); // JupyterLab sets the star again when it sends the cell
            }
            return runCell(options);
        };
    }

    const ACTIONS = ['keydown', 'pointerdown', 'wheel']; // after these, the notebook must not move any more
    const PATIENCE = 10000; // milliseconds

    // JupyterLab scrolls to the cell of a link before the cells above it have their sizes.
    function keepInSight(panel, fragment) {
        const observer = new ResizeObserver(() => panel.content.setFragment(fragment));
        panel.content.widgets.forEach(cell => observer.observe(cell.node));
        const stop = () => {
            observer.disconnect();
            ACTIONS.forEach(action => panel.node.removeEventListener(action, stop, true));
        };
        ACTIONS.forEach(action => panel.node.addEventListener(action, stop, true));
        setTimeout(stop, PATIENCE);
    }

    function follow(panel) {
        const setFragment = panel.setFragment.bind(panel);
        panel.setFragment = fragment => {
            setFragment(fragment);
            panel.context.ready.then(() => panel.revealed).then(() => keepInSight(panel, fragment));
        };
    }

    // JupyterLab breaks the lines of an output in the middle of a word, and shows a link in it only by a colour.
    const STYLE = `
        body .jp-OutputArea-output pre { overflow-wrap: anywhere; word-break: normal; }
        body .jp-OutputArea-output pre a[href^="http"] { text-decoration: underline !important; }
    `;

    function addStyle() {
        const style = document.createElement('style');
        style.textContent = STYLE;
        document.head.append(style);
    }

    async function plugins() {
        const { INotebookCellExecutor, INotebookTracker, runCell } = await load('@jupyterlab/notebook');
        return [
            {
                id: 'taskqueue-course:cell-executor',
                description: 'Runs cells in order, as soon as the kernel has started.',
                autoStart: true,
                provides: INotebookCellExecutor,
                activate: () => Object.freeze({ runCell: executor(runCell) }),
            },
            {
                id: 'taskqueue-course:notebooks', // the tracker itself needs an executor
                description: 'Finds the notebook of a session, to save it.',
                autoStart: true,
                requires: [INotebookTracker],
                activate: (app, notebooks) => { tracker = notebooks; },
            },
            {
                id: 'taskqueue-course:looks',
                description: 'Shows the cell to which a link leads, and breaks the lines of outputs between words.',
                autoStart: true,
                activate: app => {
                    addStyle();
                    app.docRegistry.addWidgetExtension('Notebook', { createNew: follow });
                },
            },
        ];
    }

    window._JUPYTERLAB ??= {};
    window._JUPYTERLAB['taskqueue-course'] = {
        init: scope => { shared = scope; },
        get: async () => {
            const found = await plugins();
            return () => ({ __esModule: true, default: found });
        },
    };
})();
